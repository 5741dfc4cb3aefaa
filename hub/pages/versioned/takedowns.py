"""Pages that yank, restore and withdraw versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.pages.forms import ConfirmedForm, YankForm, accept_faults
from registry.accounts.permissions import is_operator
from registry.errors import Invalid, StateConflict
from registry.models import Adapter, Pack, PackVersion, User, Version, VersionState
from registry.versions.latest import MAX_REASON


@dataclass(frozen=True, slots=True)
class Noun:
    """Adapters or packs: the services and the URL names of their pages.

    Attributes:
        names: Page → URL name: ``page``, ``edit``, ``yank``, ``withdraw``, ``aliases``, …
        yank, restore, withdraw: Services for a version.
        withdraw_all: Service for an adapter or a pack: actor, it, and the reason.
        is_pack: Whether these are packs.
    """

    names: Mapping[str, str]
    yank: Callable[..., object]
    restore: Callable[..., object]
    withdraw: Callable[..., object]
    withdraw_all: Callable[[User, Any, str], object]
    is_pack: bool = False

    def place(self, thing: Adapter | Pack, version: Version | PackVersion | None = None) -> str:
        """Return the address of the page, perhaps of a version."""
        address = reverse(self.names["page"], args=[thing.owner, thing.name])
        return f"{address}?v={version.name}" if version else address


class WithdrawForm(ConfirmedForm):
    """Reason and confirmation of a withdrawal, which cannot be undone."""

    reason = forms.CharField(
        label=gettext_lazy("Reason (required)"),
        max_length=MAX_REASON,
        help_text=gettext_lazy("Users who open the page will see this reason."),
    )
    field_order = ("reason", "name")


def may_withdraw(user: User | AnonymousUser, thing: Adapter | Pack) -> bool:
    """Whether a user may withdraw an adapter or a pack and its versions."""
    if not user.is_authenticated or thing.withdrawn_reason:
        return False
    return thing.namespace.is_writable_by(user) or is_operator(user)


def yank(
    request: HttpRequest,
    noun: Noun,
    user: User,
    thing: Adapter | Pack,
    version: Version | PackVersion,
) -> HttpResponse:
    """Yank a version, or restore it."""
    form = YankForm(request.POST if request.method == "POST" else None)
    takes_back = "restore" in request.POST
    if request.method == "POST" and (takes_back or form.is_valid()):
        if takes_back:
            noun.restore(actor=user, version=version)
            done = _("%(version)s is restored.")
        else:
            noun.yank(actor=user, version=version, reason=form.cleaned_data["reason"])
            done = _("%(version)s is yanked.")
        messages.success(request, done % {"version": version.name})
        return redirect(noun.place(thing, version))
    others = thing.versions.filter(state=VersionState.PUBLISHED).exclude(pk=version.pk)
    context = {
        "noun": noun, "thing": thing, "version": version, "form": form,
        "is_last": not others.exists(),
    }  # fmt: skip
    return render(request, "versioned/yank.html", context, status=400 if form.is_bound else 200)


def withdraw(
    request: HttpRequest,
    noun: Noun,
    user: User,
    thing: Adapter | Pack,
    version: Version | PackVersion | None,
) -> HttpResponse:
    """Withdraw a version, or all of it without one."""
    data = request.POST if request.method == "POST" else None
    form = WithdrawForm(data, name=version.name if version else thing.full_name)
    if form.is_bound and form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            if version is None:
                noun.withdraw_all(user, thing, reason)
                return redirect(noun.place(thing))
            noun.withdraw(actor=user, version=version, reason=reason)
            messages.success(request, _("%(version)s is withdrawn.") % {"version": version.name})
            return redirect(noun.place(thing, version))
        except (Invalid, StateConflict) as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"noun": noun, "thing": thing, "version": version, "form": form}
    return render(request, "versioned/withdraw.html", context, status=400 if form.errors else 200)
