"""What ``main`` has of a card once a version is published on the web.

What takes a store is done before the transaction, what it led to is written in it. So nothing that
ends a process comes between a version and its card, and ``main`` moves once for each of them:

    README.md is among its files    it is read, for what nobody said in another way
    it is not                       one lies behind it: with what is said now, for which others are
                                    asked (``card_wanted``), else what ``main`` had before

A card that could not be made in time, or of which somebody made another meanwhile, follows later.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.accounts import quotas
from registry.adapters import manifests
from registry.adapters.manifests import Entry
from registry.blobs import promote
from registry.cards import fields
from registry.errors import Conflict, Invalid, LoraryError, QuotaExceeded
from registry.models import Adapter, FileRole, Version, VersionState
from registry.signals import card_wanted
from registry.versions import contents, latest, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.cards.fields import Card
    from registry.models import Blob, User
    from registry.storage import Written

__all__ = ["PreparedReadme", "apply_card", "charge", "put", "ready"]


@dataclass(frozen=True, slots=True)
class PreparedReadme:
    """What was read and stored before a publication.

    Attributes:
        given: What the README among the version's own files says.
        written: A README to lie behind it.
        instead_of: The sha256 of ``main``'s README that it was made of, "" of none.
    """

    given: Card | None = None
    written: Written | None = None
    instead_of: str = ""


def ready(version: Version) -> PreparedReadme:
    """Read and store what the publication of a draft needs of cards; outside of a transaction.

    Raises:
        StorageAway: the README among its files cannot be read now.
    """
    rows = Version.objects.select_related("revision", "adapter__namespace")
    draft = rows.filter(pk=version.pk, state=VersionState.DRAFT).first()
    if draft is None:
        return PreparedReadme()
    given = contents.readme_of(manifests.entries_of(draft.revision))
    if given is not None:
        return PreparedReadme(given=_read(given.blob))
    card = _card_of(draft.adapter)
    text = _wanted(draft, card)
    if text is not None:
        with suppress(LoraryError, OSError):  # it is tried again behind the publication, and told
            return PreparedReadme(written=promote.put([text.encode()]), instead_of=_digest(card))
    return PreparedReadme()


def _read(blob: Blob) -> Card | None:
    with suppress(Invalid, FileNotFoundError):
        return fields.read_blob(blob)
    return None


def _card_of(adapter: Adapter) -> Entry | None:
    """Return the line of ``main``'s README, None where there is none."""
    return contents.readme_of(contents.base_of(manifests.main_of(adapter)))


def _digest(card: Entry | None) -> str:
    return card.blob.sha256 if card is not None else ""


def _wanted(draft: Version, card: Entry | None) -> str | None:
    """Ask for the README of an adapter as it will be with a version, None to keep what it has."""
    publish.name_after_file(draft.adapter, draft)
    latest.present(draft.adapter, draft)
    told = card_wanted.send_robust(
        sender=Adapter, adapter=draft.adapter, card=card.blob if card is not None else None
    )
    return next((text for _receiver, text in told if isinstance(text, str)), None)


def charge(*, adapter: Adapter, entries: Sequence[Entry], ready: PreparedReadme) -> Entry | None:
    """Charge the files of a version and the card to lie behind it; return the card's line.

    The caller has locked the adapter, and moves ``main`` afterwards.

    Raises:
        QuotaExceeded: the files do not fit. A card that does not is left out.
    """
    blobs = [entry.blob for entry in entries]
    card = None if contents.readme_of(entries) is not None else _card_of(adapter)
    if ready.written is not None and ready.instead_of == _digest(card):
        with suppress(Conflict, QuotaExceeded):
            line = Entry(contents.README, promote.arrived(ready.written), FileRole.CARD)
            quotas.charge(namespace=adapter.namespace, blobs=[*blobs, line.blob])
            return line
    quotas.charge(namespace=adapter.namespace, blobs=blobs)
    return card


def put(
    *, user: User, version: Version, entries: Sequence[Entry], card: Entry, ready: PreparedReadme
) -> None:
    """Have ``main`` point at the files of a version with a card, in a revision behind it."""
    is_new = ready.written is not None and card.blob.sha256 == ready.written.sha256
    message = _("Update %(path)s") if is_new else _("Keep %(path)s")
    publish.commit_to_main(
        user=user,
        parent=version.revision,
        entries=[*entries, card],
        message=message % {"path": card.path},
    )


def apply_card(*, user: User, version: Version, card: Card) -> None:
    """Write what a README that came with a version says and nobody said in another way."""
    adapter = version.adapter
    unsaid = replace(
        card,
        text=adapter.card or card.text,
        licence=None if adapter.licence else card.licence,
        tags=None if adapter.tags.exists() else card.tags,
        family=None if version.declared_family else card.family,
        lineage=None if version.lineage else card.lineage,
        trigger_words=None if version.trigger_words else card.trigger_words,
    )
    fields.apply(actor=user, adapter=adapter, card=unsaid)
    version.refresh_from_db()
