"""Adapters: creating, editing, renaming."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lorary.client.names import is_tag
from registry import events
from registry.accounts import permissions
from registry.adapters import licences, manifests
from registry.database import facet_counters
from registry.database.row_locks import locked
from registry.errors import Invalid, NameTaken
from registry.models import (
    Access,
    Adapter,
    AdapterName,
    Kind,
    Maturity,
    Namespace,
    Pack,
    Tag,
    User,
    Visibility,
)
from registry.names import check_new_name, has_control, key_of
from registry.search import documents

MAX_TAGS = 30

#: Maximum length of each text, in characters.
LIMITS = {"title": 120, "summary": 280, "card": 200_000, "licence": 64}

_CHOICES: dict[str, type[TextChoices]] = {
    "kind": Kind,
    "visibility": Visibility,
    "access": Access,
    "maturity": Maturity,
}

EDITABLE = frozenset({*LIMITS, *_CHOICES, "tags"})


def create(*, actor: User, owner: Namespace | None = None, name: str, **card: Any) -> Adapter:  # noqa: ANN401 - card fields are checked one by one
    """Create an adapter with its empty root revision.

    Args:
        owner: Its namespace; by default the actor's own.
        name: A name by the rules of ``registry.names``.
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
            adapter = Adapter(namespace=namespace, name=name, key=key_of(name), **fields)
            adapter.save()
            AdapterName.objects.create(namespace=namespace, adapter=adapter, key=adapter.key)
            set_tags(adapter, tags or [])
            root = manifests.commit(
                actor=user, adapter=adapter, parent=None, entries=[], message="Create adapter"
            )
            manifests.move(actor=user, revision=root, name=manifests.MAIN, is_branch=True)
            documents.save(adapter)
            events.record(
                actor=user,
                verb="adapter_created",
                about=adapter,
                subject=adapter.full_name,
                visibility=adapter.visibility,
            )
    except IntegrityError as error:
        raise taken(namespace, name) from error
    return adapter


def describe(*, actor: User, adapter: Adapter, **card: Any) -> Adapter:  # noqa: ANN401 - see create
    """Change card fields; omitted ones are not changed. See ``cards.services`` for README.md.

    Raises:
        Invalid: an unknown field or an invalid value.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    fields, tags = _clean(card)
    with transaction.atomic():
        refresh(adapter)
        record_permissions(user, adapter, fields)
        for field, value in fields.items():
            setattr(adapter, field, value)
        adapter.save(update_fields=[*fields, "updated_at"])
        if tags is not None:
            set_tags(adapter, tags)
        documents.save(adapter)
        facet_counters.fold_soon()
        events.record(
            actor=user,
            verb="adapter_updated",
            about=adapter,
            subject=adapter.full_name,
            fields=sorted(card),
        )
    return adapter


def record_permissions(user: User, thing: Adapter | Pack, fields: Mapping[str, str]) -> None:
    """Record an event if new values of fields change who can see a thing or download its files."""
    named = [field for field in ("visibility", "access") if field in fields]
    before = {field: getattr(thing, field) for field in named}
    after = {field: fields[field] for field in named}
    if before != after:
        events.record(
            actor=user,
            verb=f"{thing.noun}_permissions_changed",
            about=thing,
            subject=thing.full_name,
            before=before,
            after=after,
        )


def rename(*, actor: User, adapter: Adapter, name: str) -> Adapter:
    """Rename an adapter; the old name redirects forever."""
    user = permissions.require_adapter(actor, adapter)
    with renaming(adapter, name) as before:
        documents.save(adapter)
        events.record(
            actor=user,
            verb="adapter_renamed",
            about=adapter,
            subject=adapter.full_name,
            before=before,
        )
    return adapter


@contextmanager
def renaming(thing: Adapter | Pack, name: str) -> Iterator[str]:
    """Give an adapter or a pack a name, then run the block in the same transaction.

    Yields:
        The full name until now.

    Raises:
        NameInvalid, NameTaken: the name is invalid, or another one has or had it.
    """
    check_new_name(name)
    key = key_of(name)
    try:
        with transaction.atomic():
            refresh(thing)
            before = thing.full_name
            if not thing.names.filter(namespace=thing.namespace, key=key).exists():
                thing.names.create(namespace=thing.namespace, key=key)
            thing.name, thing.key = name, key
            thing.save(update_fields=["name", "key", "updated_at"])
            yield before
    except IntegrityError as error:
        raise taken(thing.namespace, name) from error


def refresh(thing: Adapter | Pack) -> None:
    """Lock the row of an adapter or a pack and read it again; call it first in a transaction.

    Otherwise, saving could undo changes made since the caller read the row.
    """
    rows = Pack.objects.all() if isinstance(thing, Pack) else Adapter.objects.all()
    locked(rows).get(pk=thing.pk)
    thing.refresh_from_db()


def taken(namespace: Namespace, name: str) -> NameTaken:
    """Return the refusal of a name that is or was in use."""
    full = f"{namespace.name}/{name}"
    text = _("“%(name)s” is in use or was used before. Choose another name.")
    return NameTaken(text % {"name": full}, name=full)


def _clean(card: dict[str, Any]) -> tuple[dict[str, str], list[str] | None]:
    """Return checked card fields and tags; a refusal lists all invalid fields."""
    fields, tags, faults = checked_fields(card, limits=LIMITS, choices=_CHOICES)
    if "licence" in fields and "licence" not in faults:
        fields["permissions"] = licences.permissions_of(fields["licence"])
    if fields.get("access", Access.OPEN) != Access.OPEN and "access" not in faults:
        faults["access"] = _("Gated access is not supported yet. Make the adapter private instead.")
    refuse(faults)
    return fields, tags


def checked_fields(
    card: dict[str, Any], *, limits: Mapping[str, int], choices: Mapping[str, type[TextChoices]]
) -> tuple[dict[str, str], list[str] | None, dict[str, str]]:
    """Return the fields of a card, its tags (None if left out), and the faults by field.

    Args:
        card: Texts, choices and ``tags`` by name.
        limits: Texts, with their longest length in characters.
        choices: Choices, with their values.
    """
    known = {*limits, *choices, "tags"}
    faults = {field: _("There is no such field.") for field in card.keys() - known}
    fields: dict[str, str] = {}
    for field in card.keys() & known - {"tags"}:
        value = card[field]
        if field in choices:
            fault = _choice_fault(field, value, choices[field])
        else:
            fault = _text_fault(field, value, limits[field])
        if fault:
            faults[field] = fault
        fields[field] = value
    tags = card.get("tags")
    if tags is not None and (fault := _tags_fault(tags)):
        faults["tags"] = fault
    return fields, tags, faults


def refuse(faults: Mapping[str, str]) -> None:
    """Raise Invalid with all faults, if there are any."""
    if faults:
        raise Invalid(" ".join(str(fault) for fault in faults.values()), fields=dict(faults))


def _choice_fault(field: str, value: object, choices: type[TextChoices]) -> str:
    if value in choices.values:
        return ""
    return _("%(field)s must be one of: %(all)s.") % {
        "field": field,
        "all": ", ".join(choices.values),
    }


def _text_fault(field: str, value: object, limit: int) -> str:
    if not isinstance(value, str):
        return _("%(field)s must be text.") % {"field": field}
    if len(value) > limit:
        return _("%(field)s can have at most %(limit)d characters.") % {
            "field": field,
            "limit": limit,
        }
    if has_control(value):
        return _("%(field)s must not contain control characters.") % {"field": field}
    return ""


def _tags_fault(tags: Sequence[object]) -> str:
    if isinstance(tags, str) or len(tags) > MAX_TAGS:
        return _("Tags must be a list of at most %(limit)d.") % {"limit": MAX_TAGS}
    bad = [f"“{str(tag)[:48]}”" for tag in tags if not isinstance(tag, str) or not is_tag(tag)]
    if not bad:
        return ""
    return ngettext(
        "%(tags)s is not a valid tag. Use 1 to 48 letters, digits, spaces, - . + / & '.",
        "%(tags)s are not valid tags. Use 1 to 48 letters, digits, spaces, - . + / & '.",
        len(bad),
    ) % {"tags": ", ".join(bad)}


def set_tags(thing: Adapter | Pack, tags: Sequence[str]) -> None:
    """Set the tags, in lower case."""
    fold: Callable[[str], str] = str.casefold
    names = sorted({fold(" ".join(tag.split())) for tag in tags})
    thing.tags.set([Tag.objects.get_or_create(name=name)[0] for name in names])


def stale_permissions() -> list[tuple[str, str]]:
    """Return licence and permissions of adapters that another release wrote; reads all adapters."""
    pairs = Adapter.objects.order_by().values_list("licence", "permissions").distinct()
    return [pair for pair in pairs if licences.permissions_of(pair[0]) != pair[1]]


def renew_permissions() -> int:
    """Set what licences permit where another release wrote them; return how many adapters."""
    return sum(
        Adapter.objects.filter(licence=licence, permissions=old).update(
            permissions=licences.permissions_of(licence)
        )
        for licence, old in stale_permissions()
    )
