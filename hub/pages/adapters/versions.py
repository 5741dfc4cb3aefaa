"""What an owner does to a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.version_forms import EditVersionForm
from hub.pages.forms import YankForm, accept_faults
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid
from registry.models import VersionState
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions.details import document_of, open_in

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse, QueryDict

    from registry.models import Version

__all__ = ["edit", "yank"]


@require_http_methods(["GET", "HEAD", "POST"])
def yank(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Yank a version, or restore it."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.get(request.user, adapter, version)
    form = YankForm(request.POST if request.method == "POST" else None)
    takes_back = found.state == VersionState.YANKED
    if request.method == "POST" and (takes_back or form.is_valid()):
        if takes_back:
            versions.restore(actor=user, version=found)
            done = _("%(version)s is restored.")
        else:
            versions.yank(actor=user, version=found, reason=form.cleaned_data["reason"])
            done = _("%(version)s is yanked.")
        messages.success(request, done % {"version": found.name})
        place = reverse("adapter", args=[adapter.owner, adapter.name])
        return redirect(f"{place}?v={found.name}")
    context = {"adapter": adapter, "version": found, "form": form}
    return render(request, "adapter/yank.html", context, status=400 if form.is_bound else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Change what is said about a version."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.get(request.user, adapter, version)
    data = request.POST if request.method == "POST" else None
    form = _form(data, found)
    if data is not None and form.is_valid():
        try:
            versions.edit(actor=user, version=found, details=form.details())
            return redirect(reverse("adapter", args=[owner, name]) + f"?v={found.name}")
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"adapter": adapter, "version": found, "form": form}
    return render(request, "adapter/edit_version.html", context, status=400 if form.errors else 200)


def _form(data: QueryDict | None, version: Version) -> EditVersionForm:
    """Return the form; base models that the tensors leave a choice of come first."""
    form = EditVersionForm(data, initial=_said(version))
    base = document_of(version).get("base") or {}
    if possible := open_in(base):
        form.offer(possible)
    return form


def _said(version: Version) -> dict[str, object]:
    fields = ("label", "lineage", "notes", "strength_min", "strength", "strength_max")
    words = "\n".join(version.trigger_words)
    return {
        "family": version.declared_family,
        "words": words,
        **{field: getattr(version, field) for field in fields},
    }
