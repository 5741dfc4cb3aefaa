"""The owner's pages of a version: edit, yank, publish or discard a draft, withdraw."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.tabs import Remark, remarks_of
from hub.pages.adapters.version_forms import EditVersionForm
from hub.pages.forms import accept_faults
from hub.pages.versioned import edits, takedowns
from registry.accounts.permissions import require_adapter, require_owner_or_operator
from registry.adapters import selectors as adapter_selectors
from registry.blobs.anatomies import undecided_families
from registry.cards import services as cards
from registry.errors import Invalid, StateConflict
from registry.models import Adapter, User, Version, VersionState
from registry.publication import services as publication
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions import withdraw as withdrawal
from registry.versions.details import Details, document_of


def _withdraw_all(user: User, adapter: Adapter, reason: str) -> None:
    withdrawal.withdraw_adapter(actor=user, adapter=adapter, reason=reason)


#: Adapters on the pages of ``takedowns``.
NOUN = takedowns.Noun(
    names={
        "page": "adapter",
        "edit": "adapter-edit",
        "yank": "version-yank",
        "withdraw": "version-withdraw",
        "withdraw_all": "adapter-withdraw",
    },
    yank=versions.yank,
    restore=versions.restore,
    withdraw=withdrawal.withdraw,
    withdraw_all=_withdraw_all,
)


@require_http_methods(["GET", "HEAD", "POST"])
def yank(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Yank a version, or restore it."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.exact(request.user, adapter, version)
    return takedowns.yank(request, NOUN, user, adapter, found)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Change the details of a version."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.get(request.user, adapter, version)
    data = request.POST if request.method == "POST" else None
    form = _form(data, found)
    if data is not None and form.is_valid():
        try:
            cards.edit_version(actor=user, version=found, details=partial(_changed, form))
            return redirect(reverse("adapter", args=[owner, name]) + f"?v={found.name}")
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"adapter": adapter, "version": found, "form": form}
    return render(request, "adapter/edit_version.html", context, status=400 if form.errors else 200)


def _form(data: QueryDict | None, version: Version) -> EditVersionForm:
    """Return the form; base models that the tensors allow come first."""
    form = EditVersionForm(data, initial=_initial(version))
    base = document_of(version).get("base") or {}
    if possible := undecided_families(base):
        form.offer(possible)
    return form


def _initial(version: Version) -> dict[str, object]:
    fields = ("label", "lineage", "notes", "strength_min", "strength", "strength_max")
    return {
        "seen": _digest(Details.of(version)),
        "family": version.declared_family,
        "words": "\n".join(version.trigger_words),
        "optional_trigger_words": "\n".join(version.optional_trigger_words),
        **{field: getattr(version, field) for field in fields},
    }


def _digest(details: Details) -> str:
    return edits.digest(asdict(details))


def _changed(form: EditVersionForm, current: Details) -> Details:
    """Return the details of the form.

    Raises:
        Invalid: the details were changed since the form was opened.
    """
    if form.is_outdated(_digest(current)):
        raise Invalid(
            _(
                "The version has been changed since you opened this form. "
                "Copy your text, then reload."
            )
        )
    return form.details()


@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Publish or discard a draft."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    found = version_selectors.exact(request.user, adapter, version)
    if found.state != VersionState.DRAFT:
        raise StateConflict(_("%(version)s is no longer a draft.") % {"version": found.name})
    place = reverse("adapter", args=[adapter.owner, adapter.name])
    if "drop" in request.POST:
        versions.discard(actor=user, version=found)
        messages.success(request, _("%(version)s was discarded.") % {"version": found.name})
        return redirect(place)
    if "publish" in request.POST:
        publication.publish(actor=user, version=found)
        messages.success(request, _("%(version)s is published.") % {"version": found.name})
        return redirect(f"{place}?v={found.name}")
    context = {"adapter": adapter, "version": found, "remarks": _remarks(found)}
    return render(request, "adapter/draft.html", context)


def _remarks(version: Version) -> list[Remark]:
    """Return findings that the owner should know before publishing."""
    found = version_selectors.findings_of(version, version.primary_file, is_owner=True)
    return [remark for remark in remarks_of(found) if remark.is_loud]


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest, owner: str, name: str, version: str = "") -> HttpResponse:
    """Withdraw a version, or an adapter with all its versions."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_owner_or_operator(request.user, adapter)
    found = version_selectors.exact(request.user, adapter, version) if version else None
    return takedowns.withdraw(request, NOUN, user, adapter, found)


def adapter_gone(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    """Show the tombstone of a withdrawn adapter."""
    rows = version_selectors.listing(None, adapter).prefetch_related("revision__files__blob")
    versions = [(version, list(version.revision.files.all())) for version in rows]
    with_it = [row for row in rows if row.withdrawn_reason == adapter.withdrawn_reason]
    last = max(with_it, key=lambda row: row.withdrawn_at or row.created_at, default=None)
    family = _family(versions)
    context = {"adapter": adapter, "versions": versions, "family": family, "gone": last}
    return render(request, "adapter/adapter_withdrawn.html", context, status=410)


def _family(versions: list[tuple[Any, Any]]) -> str:
    """Return the base model, for a link to similar adapters."""
    return next((str(version.family) for version, _files in versions if version.family), "")
