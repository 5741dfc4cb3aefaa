"""What becomes of a draft: it is published for good, or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.tabs import remarks_of
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.errors import StateConflict
from registry.models import VersionState
from registry.versions import selectors as version_selectors
from registry.versions import services as versions

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from hub.pages.adapters.tabs import Remark
    from registry.models import Version

__all__ = ["decide"]


@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Ask what a draft shall become, and do it."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.get(request.user, adapter, version)
    if found.state != VersionState.DRAFT:
        raise StateConflict(_("%(version)s is no draft any more.") % {"version": found.name})
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    if "drop" in request.POST:
        versions.discard(actor=user, version=found)
        messages.success(request, _("%(version)s was dropped.") % {"version": found.name})
        return redirect(place)
    if "publish" in request.POST:
        versions.publish(actor=user, version=found)
        messages.success(request, _("%(version)s is published.") % {"version": found.name})
        return redirect(f"{place}?v={found.name}")
    context = {"adapter": adapter, "version": found, "remarks": _remarks(found)}
    return render(request, "adapter/draft.html", context)


def _remarks(version: Version) -> list[Remark]:
    """Return what its owner should know before everybody can read it."""
    found = version_selectors.findings_of(version, version.primary_file, is_owner=True)
    return [remark for remark in remarks_of(found, is_owner=True) if remark.is_loud]
