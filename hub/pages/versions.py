"""What an owner does to a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from hub.pages.forms import YankForm
from registry.models import VersionState
from registry.selectors import adapters as catalogue
from registry.selectors import versions as history
from registry.services import versions
from registry.services.access import require_adapter

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

__all__ = ["yank"]


@require_http_methods(["GET", "HEAD", "POST"])
def yank(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Advise against a version, or take that back."""
    adapter = catalogue.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = history.get(request.user, adapter, version)
    form = YankForm(request.POST if request.method == "POST" else None)
    takes_back = found.state == VersionState.YANKED
    if request.method == "POST" and (takes_back or form.is_valid()):
        reason = "" if takes_back else form.cleaned_data["reason"]
        versions.yank(actor=user, version=found, reason=reason)
        return redirect("adapter", adapter.owner, adapter.name)
    context = {"adapter": adapter, "version": found, "form": form}
    return render(request, "adapter/yank.html", context, status=400 if form.is_bound else 200)
