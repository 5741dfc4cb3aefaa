"""Everything that a hub stores about one account, as JSON values.

The rows that refer to the account, its namespace, its adapters or its packs are found by the
models' relations, so that rows of new models are exported too. Secrets and their digests are left
out, and so are the bytes of files: each file is listed with its sha256. Of events, only those that
the account caused or that are about it are exported: others' may name what is private to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.python import Serializer
from django.db.models import ForeignObjectRel, ManyToManyRel, Model
from django.utils import timezone

from registry import events
from registry.accounts import permissions
from registry.models import Blob, Event, EventAddress, File, Job, User

#: Columns that are not exported: secrets, their digests, and names inside the store.
SECRET = frozenset(
    {"device_digest", "digest", "key", "password", "storage_key", "token", "user_digest"}
)
#: Apps whose rows are secrets.
_SECOND_FACTORS = frozenset({"otp_static", "otp_totp"})
#: Models whose rows are made from others, or belong to others' packs and try-outs.
_DERIVED = frozenset(
    {
        "previews.layer", "registry.cardhtml", "registry.derivedfile", "registry.packpart",
        "registry.searchdocument", "registry.versioncomparison",
    }
)  # fmt: skip


def export(*, actor: User | None, user: User) -> dict[str, Any]:
    """Return the export of an account: ``rows`` has the rows of each model. It is recorded.

    Args:
        actor: The operator; None on the command line.
        user: The account, also a disabled or a deleted one.

    Raises:
        NotFound, ScopeMissing: see ``permissions.require_operator``.
    """
    if actor is not None:
        permissions.require_operator(actor)
    events.record(actor=actor, verb="account_exported", about=user)
    found: dict[str, dict[Any, Model]] = {}
    namespace = user.namespace
    adapters, packs = list(namespace.adapters.all()), list(namespace.packs.all())
    versions = [version for adapter in adapters for version in adapter.versions.all()]
    for row in (user, namespace, *adapters, *packs, *versions):
        _add(found, [row])
        _add(found, (one for one in _related(row) if _is_of(user, one)))
    files = File.objects.filter(revision__adapter__in=adapters)
    _add(found, files)
    _add(found, Blob.objects.filter(pk__in=files.values("blob")))
    _add(found, EventAddress.objects.filter(event__actor=user))
    _add(found, Job.objects.filter(owner=user.username))
    rows = {label: _plain(found[label].values()) for label in sorted(found)}
    return {"exported_at": timezone.now(), "user": user.username, "rows": rows}


def _is_of(user: User, row: Model) -> bool:
    """Whether a row is not somebody else's, such as a member's token for an adapter."""
    if isinstance(row, Event):
        return user.pk in {row.actor_id, row.user_id}
    return getattr(row, "user_id", None) in {None, user.pk}


def _add(found: dict[str, dict[Any, Model]], rows: Iterable[Model]) -> None:
    for row in rows:
        found.setdefault(row._meta.label_lower, {})[row.pk] = row  # noqa: SLF001 - Django's public API


def _related(row: Model) -> Iterator[Model]:
    """Yield the rows that refer to one."""
    for relation in row._meta.get_fields(include_hidden=True):  # noqa: SLF001 - Django's public API
        if not isinstance(relation, ForeignObjectRel) or isinstance(relation, ManyToManyRel):
            continue
        model: type[Model] = relation.field.model
        meta = model._meta  # noqa: SLF001 - Django's public API
        if meta.app_label not in _SECOND_FACTORS and meta.label_lower not in _DERIVED:
            rows = model._base_manager.filter(**{relation.field.name: row})  # noqa: SLF001 - as above
            yield from rows.iterator()


def _plain(rows: Iterable[Model]) -> list[dict[str, Any]]:
    """Return rows as dictionaries of their columns, without secrets."""
    plain = Serializer().serialize(list(rows))
    return [
        {"id": one["pk"], **{k: v for k, v in one["fields"].items() if k not in SECRET}}
        for one in plain
    ]
