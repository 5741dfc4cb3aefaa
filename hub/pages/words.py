"""Names of families and the like in people's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from hub.templatetags.lorary import size, strength
from lorary.anatomy import FAMILIES

if TYPE_CHECKING:
    from registry.models import Adapter, Version

__all__ = ["facts_line", "family_label", "recommendation", "strength_range"]


def family_label(family: str) -> str:
    """Return how people call a base-model family; unknown ids are shown as they are."""
    return FAMILIES.get(family, family)


def strength_range(version: Version) -> str:
    """Return ``0.7–1.0``, or the one recommended strength, or nothing when none is."""
    low, high = version.strength_min, version.strength_max
    if low is None or high is None or low == high:
        return strength(version.strength)
    return _("%(low)s–%(high)s") % {"low": strength(low), "high": strength(high)}


def recommendation(version: Version) -> str:
    """Return the recommended strength as a phrase, empty when nobody recommended one."""
    low, high, best = version.strength_min, version.strength_max, strength(version.strength)
    if low is None or high is None or low == high:
        return _("Recommended %(best)s") % {"best": best} if best else ""
    said = {"low": strength(low), "high": strength(high), "best": best}
    if not best:
        return _("Recommended %(low)s to %(high)s") % said
    return _("Recommended %(low)s to %(high)s, best %(best)s") % said


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
