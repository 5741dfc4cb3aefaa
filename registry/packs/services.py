"""Packs: creating, editing, renaming."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import TextChoices

from registry import events
from registry.accounts import permissions
from registry.adapters.services import (
    checked_fields,
    record_permissions,
    refresh,
    refuse,
    renaming,
    set_tags,
    taken,
)
from registry.models import (
    OUT_STATES,
    LookKind,
    Maturity,
    Namespace,
    Pack,
    PackName,
    PackPart,
    User,
    Visibility,
)
from registry.names import check_new_name, key_of
from registry.packs import parts, resolve, words
from registry.packs.parts import Part

#: Longest value of each text, in characters.
LIMITS = {"title": 120, "summary": 280, "card": 20_000}

_CHOICES: dict[str, type[TextChoices]] = {
    "kind": LookKind, "visibility": Visibility, "maturity": Maturity,
}  # fmt: skip

EDITABLE = frozenset({*LIMITS, *_CHOICES, "tags"})


def create(*, actor: User, owner: Namespace | None = None, name: str, **card: Any) -> Pack:  # noqa: ANN401 - card fields are checked one by one
    """Create a pack without versions.

    Args:
        owner: Its namespace; by default the actor's own.
        name: A name by the rules of ``registry.names``. An adapter may have the same.
        **card: Any of ``EDITABLE``.

    Raises:
        NameInvalid, NameTaken: the name is invalid, or was used before.
        Invalid: a card field is invalid.
        Forbidden, ScopeMissing, Unauthenticated: see ``permissions.require_namespace``.
    """
    user = permissions.require_user(actor)
    namespace = owner or user.namespace
    permissions.require_namespace(user, namespace)
    check_new_name(name)
    fields, tags = _clean(card)
    try:
        with transaction.atomic():
            pack = Pack.objects.create(namespace=namespace, name=name, key=key_of(name), **fields)
            PackName.objects.create(namespace=namespace, pack=pack, key=pack.key)
            set_tags(pack, tags or [])
            words.save(pack)
            _record(user, "pack_created", pack, visibility=pack.visibility)
    except IntegrityError as error:
        raise taken(namespace, name) from error
    return pack


def describe(*, actor: User, pack: Pack, **card: Any) -> Pack:  # noqa: ANN401 - see create
    """Change card fields; what is left out stays.

    Raises:
        Invalid: an unknown field, an invalid value, or one that does not fit the parts.
        NotFound, Forbidden, Unauthenticated, Gone: see ``permissions.require_pack``.
    """
    user = permissions.require_pack(actor, pack)
    fields, tags = _clean(card)
    with transaction.atomic():
        refresh(pack)
        record_permissions(user, pack, fields)
        loosened = _loosened(pack, fields)
        for field, value in fields.items():
            setattr(pack, field, value)
        if loosened:
            resolve.require_fitting(pack, _parts_of(user, pack), loosened)
        pack.save(update_fields=[*fields, "updated_at"])
        if tags is not None:
            set_tags(pack, tags)
        words.save(pack)
        _record(user, "pack_updated", pack, fields=sorted(card))
    return pack


def rename(*, actor: User, pack: Pack, name: str) -> Pack:
    """Rename a pack; the old name redirects forever."""
    user = permissions.require_pack(actor, pack)
    with renaming(pack, name) as before:
        words.save(pack)
        _record(user, "pack_renamed", pack, before=before)
    return pack


def _loosened(pack: Pack, fields: Mapping[str, str]) -> set[str]:
    """Return the changes by which more people would see the pack; others fit all parts."""
    visibility = Visibility(fields.get("visibility", pack.visibility))
    maturity = Maturity(fields.get("maturity", pack.maturity))
    changes = {
        "visibility": visibility.rank > Visibility(pack.visibility).rank,
        "maturity": maturity.rank < Maturity(pack.maturity).rank,
    }
    return {field for field, is_looser in changes.items() if is_looser}


def _parts_of(user: User, pack: Pack) -> list[Part]:
    """Return the parts of the versions that people see."""
    shown = pack.versions.filter(state__in=OUT_STATES)
    rows = PackPart.objects.filter(variant__version__in=shown).select_related(
        "variant__version", "adapter_version__adapter__namespace"
    )
    return parts.as_seen_by(user, rows.order_by("variant__version__number", "pk"))


def _clean(card: dict[str, Any]) -> tuple[dict[str, str], list[str] | None]:
    """Return checked card fields and tags; a refusal lists all invalid fields."""
    fields, tags, faults = checked_fields(card, limits=LIMITS, choices=_CHOICES)
    refuse(faults)
    return fields, tags


def _record(user: User, verb: str, pack: Pack, **facts: Any) -> None:  # noqa: ANN401 - JSON
    events.record(actor=user, verb=verb, about=pack, subject=pack.full_name, **facts)
