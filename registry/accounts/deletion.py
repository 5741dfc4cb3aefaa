"""Deletes accounts. The row stays without a name, so that versions and events keep an author.

What the account published is never lost in silence: it is transferred to another owner, or
withdrawn on request; otherwise the deletion is refused. The name stays reserved, so that nobody
else can publish at addresses that others have saved.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry import events
from registry.accounts import permissions, second_factor, transfer
from registry.accounts.disabling import stop_work
from registry.database.row_locks import locked
from registry.errors import StateConflict
from registry.models import Membership, Namespace, NamespaceName, Role, User
from registry.packs import states as pack_states
from registry.versions import withdraw


def delete(
    *,
    actor: User | None,
    user: User,
    transfer_to: Namespace | None = None,
    with_adapters: bool = False,
) -> None:
    """Delete an account.

    Args:
        actor: The operator; None on the command line.
        user: The account.
        transfer_to: Who gets its adapters and packs.
        with_adapters: Whether to withdraw its adapters and packs, which deletes their bytes.

    Raises:
        NotFound, ScopeMissing, Invalid, StateConflict: see ``permissions.require_operator_over``;
            or it owns something and neither argument is given, or alone manages an organisation.
        NameTaken, QuotaExceeded: see ``transfer.transfer_all``.
    """
    permissions.require_operator_over(actor, user)
    namespace, former = user.namespace, user.username
    if transfer_to is not None:
        transfer.require_other(namespace, transfer_to)
    by = actor or user
    with transaction.atomic():
        if transfer_to is not None:
            transfer.transfer_all(actor=by, source=namespace, target=transfer_to)
        elif with_adapters:
            _withdraw_all(by, namespace)
        _require_nothing_left(namespace)
        _require_other_managers(user)
        user.device_logins.all().delete()
        second_factor.remove(user)
        user.access_tokens.all().delete()
        user.memberships.all().delete()
        _pseudonymise(user, namespace)
        events.record(
            actor=actor,
            verb="account_deleted",
            about=user,
            with_adapters=with_adapters,
            transferred_to=transfer_to.pk if transfer_to is not None else None,
        )
    stop_work(user, former)


def _require_other_managers(user: User) -> None:
    """Require that organisations keep somebody who manages them; lock these."""
    managed = Membership.objects.filter(user=user, role=Role.ADMIN).select_related("namespace")
    list(locked(Namespace.objects.filter(pk__in=managed.values("namespace"))))
    others = Membership.objects.filter(role=Role.ADMIN).exclude(user=user)
    alone = [
        row.namespace.name
        for row in managed
        if not others.filter(namespace=row.namespace_id, user__is_active=True).exists()
    ]
    if alone:
        text = _("Only this account manages %(names)s. Make another member an admin first.")
        raise StateConflict(text % {"names": ", ".join(sorted(alone))}, state="manager")


def _withdraw_all(actor: User, namespace: Namespace) -> None:
    reason = _("The account of its owner was deleted.")
    for pack in namespace.packs.filter(withdrawn_reason=""):
        pack_states.withdraw_pack(actor=actor, pack=pack, reason=reason)
    for adapter in namespace.adapters.filter(withdrawn_reason=""):
        withdraw.withdraw_adapter(actor=actor, adapter=adapter, reason=reason)


def _require_nothing_left(namespace: Namespace) -> None:
    owned = namespace.adapters.filter(withdrawn_reason="").count()
    owned += namespace.packs.filter(withdrawn_reason="").count()
    if owned:
        text = ngettext(
            "“%(name)s” owns an adapter or a pack. Transfer it, or have it withdrawn.",
            "“%(name)s” owns %(n)d adapters and packs. Transfer them, or have them withdrawn.",
            owned,
        )
        raise StateConflict(text % {"name": namespace.name, "n": owned}, state="owner", count=owned)


def _pseudonymise(user: User, namespace: Namespace) -> None:
    """Replace what says who the person is; the earlier name stays reserved."""
    name = f"deleted-{user.pk}"
    while NamespaceName.objects.filter(key=name).exists():
        name = f"{name}-{user.pk}"
    user.username, user.email, user.last_login = name, "", None
    user.disabled_reason, user.deleted_at = "", timezone.now()
    user.is_active = user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    # Before the user, as in the other transactions that refer to both.
    NamespaceName.objects.create(namespace=namespace, key=name)
    namespace.name = namespace.key = name
    namespace.display_name = namespace.about = ""
    namespace.save(update_fields=["name", "key", "display_name", "about"])
    user.save()
