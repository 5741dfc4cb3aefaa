"""Names, and rows that are computed from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Q

from hub.operations.diagnosis.report import NAMED, Report
from hub.plurals import counted
from registry.database import facet_counters
from registry.models import Adapter, Namespace
from registry.names import RESERVED_NAMES, is_device
from registry.search import maintenance

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Matches names that may be a device name of Windows.
DEVICE_LIKE = Q(key__regex=r"^(con|prn|aux|nul|com[0-9]|lpt[0-9])")


def _names() -> Iterator[Report]:
    """Report owners and adapters with names that are no longer allowed."""
    owners = list(Namespace.objects.filter(key__in=RESERVED_NAMES).values_list("name", flat=True))
    rows = Namespace.objects.values_list("name", flat=True)
    owners += filter(is_device, rows.filter(DEVICE_LIKE))
    adapters = Adapter.objects.filter(DEVICE_LIKE).select_related("namespace")
    devices = [one.full_name for one in adapters if is_device(one.name)]
    found = sorted(owners) + sorted(devices)
    if not found:
        yield Report("names", "ok", "All names of owners and adapters follow the current rules.")
        return
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    message = f"Names that are no longer allowed: {', '.join(found[:NAMED])}{more}."
    hint = "They keep working. Owners of adapters with a Windows device name should rename them."
    yield Report("names", "warning", message, hint)


def _search() -> Iterator[Report]:
    """Report adapters whose search documents are missing or outdated."""
    found = maintenance.check(is_quick=True)
    if found.is_well:
        yield Report("search", "ok", "Every adapter has a current search document.")
        return
    index = "" if found.has_index else " The full-text index is missing or from another release."
    message = f"Missing search documents: {found.missing:,}; outdated: {found.stale:,}.{index}"
    if found.is_rebuilding:
        yield Report("search", "warning", f"{message} A rebuild is running.", "Wait until it ends.")
        return
    if not found.has_spelling:
        message += " A rebuild was interrupted."
    yield Report("search", "error", message, "Run `manage.py search rebuild`.")


def _facets() -> Iterator[Report]:
    """Compare the counters of the browse page's filters with the adapters."""
    wrong = facet_counters.lacking(connection)
    if not wrong:
        yield Report("facets", "ok", "The counts of the browse page's filters are correct.")
        return
    field, value, lacks = wrong[0]
    message = (
        f"{counted(len(wrong), 'counter')} wrong, such as {field} {value!r}, off by {-lacks:+,}."
    )
    yield Report("facets", "error", message, "Run `manage.py facets rebuild`.")


PROBES = {
    "names": _names,
    "search": _search,
    "facets": _facets,
}
