"""Template tags and filters for icons, sizes, strengths and rulers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.template import Context
from django.templatetags.static import static
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

import lorary
from hub.pages import links
from previews import worker_bases
from registry import log_context

register = template.Library()

#: Right end of a card's strength ruler.
RULER_END = 1.5
#: The ruler is drawn from x = 2 to x = 102.
_RULER_FROM, _RULER_WIDTH = 2.0, 100.0
_KILO = 1000
_MAY_BREAK = SafeString("<wbr>")

THEMES = ("auto", "light", "dark")
DENSITIES = ("proof", "card", "list")


@dataclass(frozen=True, slots=True)
class Frame:
    """Values that ``base.html`` needs on every page, error pages included."""

    theme: str = "auto"
    density: str = "card"
    here: str = ""
    next: str = ""
    base_url: str = ""
    version: str = lorary.__version__
    is_signup_open: bool = True
    is_indexed: bool = True
    has_previews: bool = False


@register.simple_tag
def request_id() -> str:
    """Return the id of the request, as in ``X-Request-Id`` and the log."""
    return log_context.request_id()


@register.simple_block_tag
def table(content: str, label: str) -> SafeString:
    """Return a table that scrolls sideways on narrow screens, and its label for screen readers."""
    return format_html(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}">'
        '<table class="tbl">{}</table></div>',
        label,
        content,
    )


@register.simple_tag(takes_context=True)
def frame(context: Context) -> Frame:
    """Return the values for ``base.html``; without a request (500) the defaults.

    With ``is_without_database`` in the context, no query is made.
    """
    request: HttpRequest | None = context.get("request")
    if request is None:
        return Frame(
            is_signup_open=settings.LORARY.signup,
            is_indexed=settings.LORARY.search_engines,
        )
    match = request.resolver_match
    here = match.url_name if match and match.url_name else ""
    is_door = here in {"signin", "signup", "signout", "home"}
    return Frame(
        theme=_chosen(request, "theme", THEMES, "auto"),
        density=_chosen(request, "density", DENSITIES, "card"),
        here=here,
        next="" if is_door else request.get_full_path(),
        base_url=_address(request),
        is_signup_open=settings.LORARY.signup,
        is_indexed=settings.LORARY.search_engines,
        has_previews="is_without_database" not in context and not worker_bases.are_previews_off(),
    )


def _address(request: HttpRequest) -> str:
    """Return the URL of this hub; "" on the page that refuses a wrong Host header."""
    try:
        return links.address(request)
    except DisallowedHost:
        return ""


def _chosen(request: HttpRequest, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = request.COOKIES.get(name, "")
    return value if value in allowed else default


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon of the sprite. It is decorative: put text beside it."""
    return format_html(
        '<svg class="ico" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name
    )


@register.filter
def size(size_bytes: int | None) -> str:
    """Return a size in decimal units with at most one decimal, such as ``9.4 MB``."""
    value = float(size_bytes or 0)
    units = ["TB", "GB", "MB", "kB", "B"]
    while value >= _KILO and len(units) > 1:
        value /= _KILO
        units.pop()
    unit = units[-1]
    decimals = 1 if unit != "B" and value < 100 else 0
    text = number_format(round(value, decimals), decimals, use_l10n=True).removesuffix(".0")
    return f"{text} {unit}"


@register.filter
def strength(value: float | None) -> str:
    """Return a multiplier with as many digits as it needs, and at least one decimal."""
    if value is None:
        return ""
    text = f"{value:.2f}".rstrip("0")
    return "0" if value == 0 else text + "0" if text.endswith(".") else text


@register.filter
def signed(value: float | None) -> str:
    """Return a strength with a minus sign, for text; commands need a hyphen."""
    return strength(value).replace("-", "−")


@register.filter
def digest(sha256: str) -> str:
    """Return the first and last digits of a digest, to compare by eye."""
    return f"{sha256[:8]}…{sha256[-4:]}"


@register.filter
def at(found: Mapping[Any, Any], key: object) -> Any:  # noqa: ANN401 - any value
    """Return the value of a key, an empty tuple if it is missing."""
    return found.get(key, ())


@register.filter
def codes(text: str) -> SafeString:
    """Return a sentence as HTML, with text between backticks as code."""
    parts = enumerate(text.split("`"))
    return format_html_join("", "{}", ((key(part) if n % 2 else part,) for n, part in parts))


@register.filter
def key(name: str) -> SafeString:
    """Return a tensor name or metadata key as code with line breaks allowed after its parts."""
    parts = ((part,) for part in re.split(r"(?<=[._])", name))
    return format_html("<code>{}</code>", format_html_join(_MAY_BREAK, "{}", parts))


@register.filter
def breakable(text: object) -> SafeString:
    """Return a command, path or code with line breaks allowed after its parts."""
    parts = ((part,) for part in re.split(r"(?<=[./(\[])", str(text)))
    return format_html_join(_MAY_BREAK, "{}", parts)


@register.simple_tag
def ruler(best: float, low: float | None, high: float | None) -> SafeString:
    """Return a strength ruler as SVG: a thick band for the range, a red line for the best value.

    It runs from 0 to 1.5, or from −1.5 if strengths below 0 are recommended.
    """
    low, high = (best if low is None else low), (best if high is None else high)
    label = (
        _("Recommended strength %(low)s to %(high)s, best %(best)s")
        if low != high
        else _("Recommended strength %(best)s")
    ) % {"low": signed(low), "high": signed(high), "best": signed(best)}
    start, ticks = (0.0, "35.3 5v4M68.7 5v4") if min(low, best) >= 0 else (-RULER_END, "52 5v4")
    return format_html(
        '<svg class="scale" viewBox="0 0 104 14" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><path class="ticks" d="M2 4v6M{}M102 4v6"/>'
        '<path class="base" d="M2 7h100"/><path class="band" d="M{} 7H{}"/>'
        '<path class="best" d="M{} 1v12"/></svg>',
        label,
        ticks,
        _at(low, start),
        _at(high, start),
        _at(best, start),
    )


def _at(value: float, start: float) -> str:
    share = (min(max(value, start), RULER_END) - start) / (RULER_END - start)
    return f"{_RULER_FROM + _RULER_WIDTH * share:.1f}"
