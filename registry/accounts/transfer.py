"""Moves adapters and packs to another owner; their old addresses redirect."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, quotas
from registry.adapters import services as adapters
from registry.blobs.selectors import shown_files
from registry.database import facet_counters
from registry.database.row_locks import locked
from registry.errors import Invalid, NameTaken
from registry.models import Adapter, Blob, Namespace, Pack, User
from registry.packs import words
from registry.search import documents


def require_other(source: Namespace, target: Namespace) -> None:
    """Require an owner who can receive what another one has.

    Raises:
        Invalid: it is the same owner, or a disabled account.
    """
    is_closed = target.user is not None and not target.user.is_active
    if target.pk == source.pk or is_closed:
        raise Invalid(_("Choose another owner; its account must not be disabled."))


def transfer_account(*, actor: User | None, user: User, target: Namespace) -> int:
    """Move everything of an account, which stays, to another owner; return how many.

    Args:
        actor: The operator; None on the command line.
        user: The account; it may be disabled.
        target: The new owner.

    Raises:
        NotFound, ScopeMissing, Invalid, StateConflict: see ``permissions.require_operator_over``
            and ``require_other``.
        NameTaken, QuotaExceeded: see ``transfer_all``.
    """
    permissions.require_operator_over(actor, user)
    require_other(user.namespace, target)
    return transfer_all(actor=actor, source=user.namespace, target=target)


def transfer_all(*, actor: User | None, source: Namespace, target: Namespace) -> int:
    """Move everything that was not withdrawn to another owner, or nothing; return how many.

    The caller has checked that the actor may do this.

    Raises:
        NameTaken: the new owner has or had one of the names.
        QuotaExceeded: the new owner has no room.
    """
    count = 0
    with transaction.atomic():
        # The account may create more until its last ones are locked.
        while found := _locked(source):
            for thing in found:
                if isinstance(thing, Adapter):
                    _transfer_adapter(actor, thing, source, target)
                else:
                    _rehome(actor, thing, target)
                    words.save(thing)
            count += len(found)
        facet_counters.fold_soon()
    return count


def _locked(source: Namespace) -> list[Adapter | Pack]:
    """Return what was not withdrawn, locked: nothing is published there until the commit."""
    adapters_left = source.adapters.filter(withdrawn_reason="")
    packs_left = source.packs.filter(withdrawn_reason="")
    return [*locked(adapters_left), *locked(packs_left)]


def _transfer_adapter(
    actor: User | None, adapter: Adapter, source: Namespace, target: Namespace
) -> None:
    held = shown_files().filter(revision__adapter=adapter)  # as published: drafts are not charged
    blobs = list(Blob.objects.filter(pk__in=held.values("blob")))
    both = Namespace.objects.filter(pk__in=[source.pk, target.pk])
    list(locked(both))  # a transfer in the other direction charges the other one first
    quotas.charge(namespace=target, blobs=blobs)
    _rehome(actor, adapter, target)
    quotas.refund(namespace=source, blobs=blobs)
    documents.save(adapter)


def _rehome(actor: User | None, thing: Adapter | Pack, target: Namespace) -> None:
    """Give an adapter or a pack another owner."""
    adapters.refresh(thing)
    before = thing.full_name
    try:
        with transaction.atomic():
            if not thing.names.filter(namespace=target, key=thing.key).exists():  # it comes back
                thing.names.create(namespace=target, key=thing.key)
            thing.namespace = target
            thing.save(update_fields=["namespace", "updated_at"])
    except IntegrityError as error:
        full = f"{target.name}/{thing.name}"
        text = _(
            "“%(name)s” is in use or was used before. First rename the adapter or pack that you "
            "want to transfer."
        )
        raise NameTaken(text % {"name": full}, name=full) from error
    events.record(
        actor=actor,
        verb=f"{thing.noun}_transferred",
        about=thing,
        subject=thing.full_name,
        before=before,
    )
