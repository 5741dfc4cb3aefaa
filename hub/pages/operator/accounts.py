"""The operator's pages of accounts: the list, and one account with what can be done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.config import parse_quota
from hub.pages.forms import ConfirmedForm, accept_faults
from registry.accounts import (
    deletion,
    disabling,
    export,
    permissions,
    quotas,
    second_factor,
    selectors,
    users,
)
from registry.adapters.selectors import namespace as namespace_named
from registry.errors import LoraryError, Moved, NotFound, SecondFactorMissing
from registry.models import User
from registry.tokens import services as tokens
from registry.versions.latest import MAX_REASON

#: Number of accounts on a page.
MOST = 50


class DisableForm(forms.Form):
    """Why an account is disabled."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=MAX_REASON,
        help_text=gettext_lazy("Only administrators see it."),
    )


class QuotaForm(forms.Form):
    """The quota of an owner."""

    size = forms.CharField(
        label=gettext_lazy("Quota"),
        max_length=40,
        help_text=gettext_lazy("A size such as 200GB, “none” for no limit, or “default”."),
    )

    def clean_size(self) -> int | None:
        """Return the quota in bytes, None for the hub's default."""
        try:
            return parse_quota(str(self.cleaned_data["size"]))
        except ValueError as error:
            raise forms.ValidationError(_("Enter a size, “none” or “default”.")) from error


class DeletionForm(ConfirmedForm):
    """What becomes of the adapters of a deleted account, and the confirmation."""

    transfer_to = forms.CharField(
        label=gettext_lazy("Transfer its adapters and packs to"),
        max_length=96,
        required=False,
        help_text=gettext_lazy("A user or an organisation; their old addresses redirect."),
    )
    with_adapters = forms.BooleanField(
        label=gettext_lazy("Withdraw its adapters and packs permanently"), required=False
    )
    field_order = ("transfer_to", "with_adapters", "name")

    def clean(self) -> dict[str, Any]:
        """Require at most one fate of the adapters."""
        data = super().clean() or {}
        if data.get("transfer_to") and data.get("with_adapters"):
            self.add_error("transfer_to", _("Either transfer or withdraw them."))
        return data


@never_cache
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    """List accounts by name."""
    permissions.require_operator(request.user)
    words, state = request.GET.get("q", "").strip()[:200], request.GET.get("state", "")
    state = state if state in selectors.STATES else ""
    rows = selectors.listing(words=words, state=state)
    rows = rows.filter(username__gt=request.GET.get("after", "")[:96])
    found = list(rows[: MOST + 1])
    states = {
        "": _("All"), "active": _("Active"), "disabled": _("Disabled"),
        "deleted": _("Deleted"), "staff": _("Administrators"),
    }  # fmt: skip
    following = found[MOST - 1].username if len(found) > MOST else ""
    context = {"accounts": found[:MOST], "words": words, "state": state, "states": states}
    return render(request, "operator/accounts.html", {**context, "following": following})


@never_cache
@require_http_methods(["GET", "HEAD"])
def show(request: HttpRequest, user_id: int) -> HttpResponse:
    """Show an account."""
    permissions.require_operator(request.user)
    return _page(request, selectors.by_id(user_id))


@require_POST
def act(request: HttpRequest, user_id: int, action: str) -> HttpResponse:
    """Change, export or delete an account."""
    actor, user = permissions.require_operator(request.user), selectors.by_id(user_id)
    if action not in _ACTIONS:
        raise NotFound(_("There is nothing at this address."))
    form = _form(action, user, request.POST)
    if form is not None and not form.is_valid():
        return _page(request, user, {action: form}, status=400)
    try:
        return _ACTIONS[action](request, actor, user, form.cleaned_data if form else {})
    except SecondFactorMissing:
        raise
    except LoraryError as error:
        if form is None:
            raise
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
        return _page(request, user, {action: form}, status=400)


def _form(action: str, user: User, data: QueryDict | None) -> forms.Form | None:
    if action == "disable":
        return DisableForm(data, auto_id="disable_%s")
    if action == "quota":
        return QuotaForm(data, auto_id="quota_%s")
    return DeletionForm(data, name=user.username) if action == "delete" else None


def _page(
    request: HttpRequest, user: User, bound: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    namespace = user.namespace
    empty = {action: _form(action, user, None) for action in ("disable", "quota", "delete")}
    context = {
        "account": user,
        "is_self": user.pk == request.user.pk,
        "used_bytes": quotas.used_by(namespace),
        "quota_bytes": quotas.limit_of(namespace),
        "is_default": namespace.quota_bytes is None,
        "tokens": user.access_tokens.filter(revoked_at=None).count(),
        "adapters": namespace.adapters.filter(withdrawn_reason="").count(),
        "packs": namespace.packs.filter(withdrawn_reason="").count(),
        "organisations": user.memberships.select_related("namespace"),
        "has_second_factor": second_factor.is_set_up(user),
        "forms": {**empty, **(bound or {})},
    }
    return render(request, "operator/account.html", context, status=status)


def _done(request: HttpRequest, user: User, text: str) -> HttpResponse:
    messages.success(request, text)
    return redirect("operator-account", user.pk)


def _disable(request: HttpRequest, actor: User, user: User, data: dict[str, Any]) -> HttpResponse:
    disabling.disable(actor=actor, user=user, reason=data["reason"])
    return _done(request, user, _("The account is disabled and signed out everywhere."))


def _enable(request: HttpRequest, actor: User, user: User, _data: dict[str, Any]) -> HttpResponse:
    disabling.enable(actor=actor, user=user)
    return _done(request, user, _("The account is enabled. Its user can sign in again."))


def _staff(request: HttpRequest, actor: User, user: User, _data: dict[str, Any]) -> HttpResponse:
    is_staff = "remove" not in request.POST
    users.set_staff(actor=actor, user=user, is_staff=is_staff)
    text = (
        _("%(name)s is an administrator now.")
        if is_staff
        else _("%(name)s is no longer an administrator.")
    )
    return _done(request, user, text % {"name": user.username})


def _quota(request: HttpRequest, actor: User, user: User, data: dict[str, Any]) -> HttpResponse:
    quotas.set_limit(actor=actor, namespace=user.namespace, quota_bytes=data["size"])
    return _done(request, user, _("The quota is changed."))


def _revoke(request: HttpRequest, actor: User, user: User, _data: dict[str, Any]) -> HttpResponse:
    count = tokens.revoke_all_of(actor=actor, user=user)
    text = ngettext("%(n)d token is revoked.", "%(n)d tokens are revoked.", count)
    return _done(request, user, text % {"n": count})


def _reset(request: HttpRequest, actor: User, user: User, _data: dict[str, Any]) -> HttpResponse:
    second_factor.reset(actor=actor, user=user)
    return _done(request, user, _("The second factor is removed."))


def _delete(request: HttpRequest, actor: User, user: User, data: dict[str, Any]) -> HttpResponse:
    name = user.username
    try:
        target = namespace_named(data["transfer_to"]) if data["transfer_to"] else None
    except Moved as error:
        text = _("This owner is “%(name)s” now.") % {"name": error.facts["full_name"]}
        raise NotFound(text, fields={"transfer_to": [text]}) from error
    deletion.delete(actor=actor, user=user, transfer_to=target, with_adapters=data["with_adapters"])
    text = _("%(name)s was deleted; the account is “%(new)s” now.")
    return _done(request, user, text % {"name": name, "new": user.username})


def _export(request: HttpRequest, actor: User, user: User, _data: dict[str, Any]) -> HttpResponse:
    del request
    document = export.export(actor=actor, user=user)
    answer = HttpResponse(
        json.dumps(document, cls=DjangoJSONEncoder, indent=1), content_type="application/json"
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="{user.username}.json"'
    return answer


_ACTIONS: dict[str, Callable[[HttpRequest, User, User, dict[str, Any]], HttpResponse]] = {
    "delete": _delete,
    "disable": _disable,
    "enable": _enable,
    "export": _export,
    "quota": _quota,
    "reset-second-factor": _reset,
    "revoke-tokens": _revoke,
    "staff": _staff,
}
