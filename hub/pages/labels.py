"""Labels for families, strengths, durations and the like."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from hub.templatetags.lorary import signed, size
from lorary.anatomy import FAMILIES, family_title
from registry.cards.base_models import Medium, medium_of
from registry.models import Adapter, Maturity, Version

#: Meaning of each content rating.
RATING_MEANINGS = {
    Maturity.GENERAL: gettext_lazy("suitable for everyone"),
    Maturity.SUGGESTIVE: gettext_lazy("revealing clothes, mild violence or horror"),
    Maturity.MATURE: gettext_lazy("nudity, strong violence or horror; blurred by default"),
    Maturity.EXPLICIT: gettext_lazy("sexual acts, extreme violence; blurred by default"),
}
#: Highest content rating → its label.
RATING_LIMITS = {
    Maturity.GENERAL: gettext_lazy("General only"),
    Maturity.SUGGESTIVE: gettext_lazy("Up to suggestive"),
    Maturity.MATURE: gettext_lazy("Up to mature"),
    Maturity.EXPLICIT: gettext_lazy("All"),
}


def count(number: int) -> str:
    """Return a whole number with thousands separators."""
    return number_format(number, 0, use_l10n=True, force_grouping=True)


def percentage(share: float) -> str:
    """Return a share of 1 in percent, with one decimal place."""
    return _("%(n)s%%") % {"n": number_format(round(100 * share, 1), 1)}


def duration(seconds: int) -> str:
    """Return a duration in its largest unit: ``40 seconds``, ``3 minutes``."""
    if seconds < 90:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    minutes = round(seconds / 60)
    if minutes < 90:
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    hours = round(minutes / 60)
    return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}


def family_label(family: str) -> str:
    """Return the title of a family or of a group of families; "" for none."""
    return family_title(family) if family else ""


def family_labels(families: Sequence[str]) -> str:
    """Return the titles of families as a phrase: ``A, B or C``."""
    *first, last = [family_label(family) for family in families] or [""]
    if not first:
        return last
    return _("%(first)s or %(last)s") % {"first": ", ".join(first), "last": last}


def family_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return all families as (group, choices), for a select field."""
    names: dict[Medium, str] = {
        "picture": _("Pictures"), "video": _("Video"), "sound": _("Sound"),
    }  # fmt: skip
    groups: dict[Medium, list[tuple[str, str]]] = {medium: [] for medium in names}
    for family, title in FAMILIES.items():
        groups[medium_of(family)].append((family, title))
    return [(names[medium], choices) for medium, choices in groups.items() if choices]


def strength_range(version: Version) -> str:
    """Return the recommended range such as ``0.7–1.0``, or strength, or ""."""
    low, high = version.strength_min, version.strength_max
    if low is None or high is None or low == high:
        return signed(version.strength)
    return _("%(low)s–%(high)s") % {"low": signed(low), "high": signed(high)}


def recommendation(version: Version) -> str:
    """Return the recommended strength as a phrase; "" if there is none."""
    low, high, best = version.strength_min, version.strength_max, signed(version.strength)
    if low is None or high is None or low == high:
        return _("Recommended %(best)s") % {"best": best} if best else ""
    values = {"low": signed(low), "high": signed(high), "best": best}
    if not best:
        return _("Recommended %(low)s to %(high)s") % values
    return _("Recommended %(low)s to %(high)s, best %(best)s") % values


def facts_line(adapter: Adapter, version: Version | None) -> str:
    """Return kind, base, rank, size and date in one line."""
    parts = [adapter.get_kind_display().lower()]
    if version is not None:
        parts += [family_label(version.family)] if version.family else []
        parts += [_("rank %(rank)d") % {"rank": version.rank}] if version.rank else []
        parts.append(size(version.size_bytes))
        parts.append(_("version %(number)d") % {"number": version.number})
    if version is not None and version.published_at is not None:
        parts.append(date_format(version.published_at, "j M Y"))
    return " · ".join(parts)
