"""“Works with my checkpoint”: a remembered choice of base model and lineage that narrows lists.

The choice is a cookie of this browser. URLs do not contain it, and filters in a URL win. The
API and the protocols of other hubs ignore it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.http import limits
from hub.pages import links
from hub.pages.labels import count, family_label
from lorary.anatomy import FAMILIES
from lorary.anatomy.base_models.checkpoint_identity import identify_checkpoint
from lorary.anatomy.claims.lineages import ROOTS, lineages, related_lineages
from lorary.safetensors import HeaderError
from registry.adapters import facets
from registry.errors import Invalid, LoraryError
from registry.scan import checks

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest, HttpResponse

    from registry.adapters.selectors import Query
    from registry.models import Adapter, User

COOKIE = "checkpoint"
MAX_AGE_S = 365 * 24 * 60 * 60
MAX_LINEAGE = 64
MAX_FILE_NAME = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """A base model, and optionally a lineage, with which adapters should work."""

    family: str
    lineage: str = ""

    @property
    def value(self) -> str:
        """Its value in forms and in the cookie."""
        return f"{self.family}/{self.lineage}" if self.lineage else self.family

    @property
    def label(self) -> str:
        """Its title: the lineage, or the base model."""
        return self.lineage or family_label(self.family)

    @property
    def title(self) -> str:
        """The lineage with its base model."""
        family = family_label(self.family)
        return f"{self.lineage} ({family})" if self.lineage else family

    def applies_to(self, query: Query) -> bool:
        """Whether a query does not choose a base model."""
        return not query.family and not query.lineage

    def narrow(self, query: Query) -> Query:
        """Return a query for adapters that work, or may work, with it.

        Those of a lineage are adapters of this lineage, of the root of the family (SDXL 1.0), and
        of an unknown lineage.
        """
        if not self.applies_to(query):
            return query
        roots = ROOTS.get(self.family, ())
        related = related_lineages(self.lineage, self.family) if self.lineage else ()
        allowed = ("", *related, *roots) if self.lineage else ()
        return replace(query, family=self.family, lineages=tuple(dict.fromkeys(allowed)))

    def doubt_about(self, adapter: Adapter) -> str:
        """Return “may work” if an adapter has the base model, but not the lineage."""
        is_sure = not self.lineage or adapter.family != self.family
        if is_sure or adapter.lineage in related_lineages(self.lineage, self.family):
            return ""
        return _("may work")


@dataclass(frozen=True, slots=True)
class Row:
    """A choice of the picker, with its number of adapters and its lineages."""

    choice: Choice
    count: str
    lineages: list[Row]


def choice_of(request: HttpRequest) -> Choice | None:
    """Return the remembered choice; None if there is none or it is invalid."""
    return _parsed(unquote(request.COOKIES.get(COOKIE, "")))


def _parsed(value: str) -> Choice | None:
    family, _slash, lineage = value.partition("/")
    is_valid = len(lineage) <= MAX_LINEAGE and (not lineage or lineage.isprintable())
    return Choice(family, lineage.strip()) if family in FAMILIES and is_valid else None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def picker(request: HttpRequest) -> HttpResponse:
    """Show the choices, or remember one and return to the list.

    Raises:
        Invalid: the choice is not valid.
    """
    if request.method == "POST":
        return _remember(request)
    context = {
        "rows": _rows(request.user),
        "chosen": choice_of(request),
        "next": _next(request.GET.get("next", "")),
    }
    return render(request, "pages/checkpoint.html", context)


def _remember(request: HttpRequest) -> HttpResponse:
    value = request.POST.get("choice", "")
    choice = _parsed(value)
    if value and choice is None:
        raise Invalid(_("There is no such base model."))
    wanted = request.POST.get("next", "")
    response = redirect(_next(wanted) if links.is_own(request, wanted) else "browse")
    if choice is None:
        response.delete_cookie(COOKIE, samesite="Lax")
    else:
        response.set_cookie(
            COOKIE,
            quote(choice.value, safe=""),
            max_age=MAX_AGE_S,
            samesite="Lax",
            secure=request.is_secure(),
        )
    return response


def _next(wanted: str) -> str:
    return wanted if wanted.startswith("/") else "/browse"


def _rows(user: User | AnonymousUser) -> list[Row]:
    """Return the base models that the hub has adapters for, each with its lineages."""
    found = facets.overall(user, ("family", "lineage"))
    table = lineages()
    below: dict[str, list[Row]] = {}
    for lineage, number in found["lineage"].values:
        family = table.family_of(lineage)
        if family is not None:
            below.setdefault(family, []).append(Row(Choice(family, lineage), count(number), []))
    return [
        Row(Choice(family), count(number), below.get(family, []))
        for family, number in found["family"].values
        if family in FAMILIES
    ]


@never_cache
@require_POST
def read(request: HttpRequest) -> HttpResponse:
    """Report which checkpoint a header (raw body) belongs to, and offer to choose it."""
    name = request.GET.get("name", "")[:MAX_FILE_NAME]
    try:
        most = limits.max_head_bytes(request.user)
        head = request.read(most)
        if most < 8 + int.from_bytes(head[:8], "little") <= checks.head_bytes():
            raise limits.head_too_large(request.user)
        with limits.inspecting():
            header = checks.header_of(head, size=_size(request.GET.get("size", "")))
            found = identify_checkpoint(header, name=name, autov1=request.GET.get("autov1", "")[:8])
    except HeaderError as error:
        return _unread(request, _("The header cannot be read: %(reason)s") % {"reason": error})
    except LoraryError as error:
        return _unread(request, str(error.detail))
    choices = [
        Choice(family, found.lineage or "") for family in found.families if family in FAMILIES
    ]
    context = {"name": name, "choices": choices}
    return render(request, "includes/checkpoint_found.html", context)


def _unread(request: HttpRequest, problem: str) -> HttpResponse:
    context = {"problem": problem}
    return render(request, "includes/checkpoint_found.html", context, status=422)


def _size(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 16 else 0
