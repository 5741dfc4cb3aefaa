"""Taking a version or a whole adapter down: the forms, and the pages that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from hub.pages.forms import accept_faults, dress
from registry.accounts.permissions import is_operator, require_owner_or_operator
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid, StateConflict
from registry.versions import selectors as version_selectors
from registry.versions import withdraw as withdrawal
from registry.versions.latest import MAX_REASON

if TYPE_CHECKING:
    from typing import Any

    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest, HttpResponse, QueryDict

    from registry.models import Adapter, User

__all__ = ["WithdrawForm", "adapter_gone", "may_withdraw", "withdraw", "withdraw_adapter"]


class WithdrawForm(forms.Form):
    """Why, and the name typed once more: what follows cannot be undone."""

    reason = forms.CharField(
        label=gettext_lazy("Why?"),
        max_length=MAX_REASON,
        help_text=gettext_lazy("Everyone who asks for it will read this sentence."),
    )
    name = forms.CharField(label=gettext_lazy("To be sure"), max_length=200)

    def __init__(self, data: QueryDict | None, *, name: str) -> None:
        super().__init__(data)
        self.fields["name"].help_text = _("Type “%(name)s”. It cannot be undone.") % {"name": name}
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        self._name = name
        dress(self)

    def clean_name(self) -> str:
        """Take the name only as it is written.

        Raises:
            ValidationError: it is another.
        """
        typed = str(self.cleaned_data["name"])
        if typed.strip() != self._name:
            raise forms.ValidationError(_("Type “%(name)s” exactly.") % {"name": self._name})
        return typed


def may_withdraw(user: User | AnonymousUser, adapter: Adapter) -> bool:
    """Whether somebody is offered to take things of an adapter down."""
    if not user.is_authenticated or adapter.withdrawn_reason:
        return False
    return adapter.namespace.is_writable_by(user) or is_operator(user)


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest, owner: str, name: str, version: str) -> HttpResponse:
    """Take a version down for good."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_owner_or_operator(request.user, adapter)
    found = version_selectors.get(request.user, adapter, version)
    form = WithdrawForm(_posted(request), name=found.name)
    if form.is_bound and form.is_valid():
        try:
            withdrawal.withdraw(actor=user, version=found, reason=form.cleaned_data["reason"])
            messages.success(request, _("%(version)s is taken down.") % {"version": found.name})
            return redirect(f"{_place(adapter)}?v={found.name}")
        except (Invalid, StateConflict) as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"adapter": adapter, "version": found, "form": form}
    return _form(request, context)


@require_http_methods(["GET", "HEAD", "POST"])
def withdraw_adapter(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Take an adapter with all its versions down for good."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_owner_or_operator(request.user, adapter)
    form = WithdrawForm(_posted(request), name=adapter.full_name)
    if form.is_bound and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            withdrawal.withdraw_adapter(actor=user, adapter=adapter, reason=reason)
            return redirect(_place(adapter))
        except (Invalid, StateConflict) as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    return _form(request, {"adapter": adapter, "form": form})


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _form(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    status = 400 if context["form"].errors else 200
    return render(request, "adapter/withdraw.html", context, status=status)


def _place(adapter: Adapter) -> str:
    return reverse("adapter", args=[adapter.owner, adapter.name])


def adapter_gone(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    """Show what stays of an adapter that was withdrawn as a whole."""
    rows = version_selectors.listing(None, adapter).prefetch_related("revision__files__blob")
    versions = [(version, list(version.revision.files.all())) for version in rows]
    with_it = [row for row in rows if row.withdrawn_reason == adapter.withdrawn_reason]
    last = max(with_it, key=lambda row: row.withdrawn_at or row.created_at, default=None)
    family = _family(versions)
    context = {"adapter": adapter, "versions": versions, "family": family, "last": last}
    return render(request, "adapter/withdrawn.html", context, status=410)


def _family(versions: list[tuple[Any, Any]]) -> str:
    """Return the base model for which a similar one may be looked for."""
    return next((str(version.family) for version, _files in versions if version.family), "")
