"""Changes of what is said about an adapter: by people, whom README.md follows, and by a README.md.

What keeps README.md from following is logged and undoes nothing: the next edit writes it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.cards import html, readme
from registry.errors import LoraryError
from registry.models import Adapter, FileRole, Maturity
from registry.versions import contents, latest, publish
from registry.versions import services as versions
from registry.versions.details import Details

if TYPE_CHECKING:
    from registry.cards.fields import Card
    from registry.models import Revision, User, Version

#: How often a README is written anew because ``main`` moved meanwhile.
TRIES = 5

log = logging.getLogger(__name__)


def edit_adapter(*, actor: User, adapter: Adapter, **fields: Any) -> Adapter:  # noqa: ANN401 - see adapters.create
    """Change fields of an adapter; what is left out stays, and README.md follows.

    Raises:
        See ``adapters.describe``.
    """
    with transaction.atomic():
        _describe(actor, adapter, fields)
        follow_on_commit(actor=actor, adapter=adapter)
    return adapter


def edit_version(*, actor: User, version: Version, details: Details) -> Version:
    """Change what is said about a version, and README.md follows; its files never change.

    Raises:
        See ``versions.describe``.
    """
    with transaction.atomic():
        versions.describe(actor=actor, version=version, details=details)
        follow_on_commit(actor=actor, adapter=version.adapter)
    return version


def apply(*, actor: User, adapter: Adapter, card: Card) -> None:
    """Write what ``main``'s README says to the adapter and the version that it tells of.

    What the README does not say stays as it is, and so does what it says already.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    changed = _changed(adapter, card)
    if changed:
        _describe(actor, adapter, changed)
    version = latest.latest_described_by_card(adapter, manifests.main_of(adapter))
    if version is not None:
        said = Details.of(version)
        if (new := card.details(said)) != said:
            versions.describe(actor=actor, version=version, details=new)


def _describe(actor: User, adapter: Adapter, fields: dict[str, Any]) -> None:
    adapters.describe(actor=actor, adapter=adapter, **fields)
    if "card" in fields:
        html.store_on_commit(adapter)


def _changed(adapter: Adapter, card: Card) -> dict[str, Any]:
    """Return the fields of an adapter that a card says otherwise."""
    said: dict[str, Any] = {"card": card.text}
    if card.licence is not None and card.licence.casefold() != adapter.licence.casefold():
        said["licence"] = card.licence
    if card.is_mature and adapter.maturity == Maturity.GENERAL:
        said["maturity"] = Maturity.MATURE
    changed = {field: value for field, value in said.items() if getattr(adapter, field) != value}
    if card.tags is not None:
        before = set(adapter.tags.values_list("name", flat=True))
        if before != set(card.tags):
            changed["tags"] = list(card.tags)
    return changed


def follow_on_commit(*, actor: User, adapter: Adapter) -> None:
    """Bring ``main``'s README.md in line with what is said, once the transaction is over."""
    transaction.on_commit(lambda: _follow(actor, adapter.pk), robust=True)


def _follow(actor: User, adapter_id: int) -> None:
    rows = Adapter.objects.select_related("namespace")
    try:
        for _try in range(TRIES):
            if _is_followed(actor, rows.get(pk=adapter_id)):
                return
    except (LoraryError, OSError) as reason:
        log.warning("README.md of adapter %d does not follow yet: %s", adapter_id, reason)


def _is_followed(actor: User, adapter: Adapter) -> bool:
    """Write a README if one is due; False if ``main`` moved meanwhile."""
    tip = manifests.main_of(adapter)
    version = latest.latest_described_by_card(adapter, tip)
    if version is None or adapter.withdrawn_reason:
        return True
    latest.set_columns(adapter, version)
    entries = contents.base_of(tip)
    line = contents.readme_of(entries)
    if line is None and not contents.takes_readme(entries):
        return True
    text = readme.new_text(adapter, line.blob if line is not None else None)
    return text is None or _is_rewritten(actor, adapter, tip, text)


def _is_rewritten(actor: User, adapter: Adapter, parent: Revision, text: str) -> bool:
    """Replace ``main``'s README; False if ``main`` moved meanwhile.

    Raises:
        QuotaExceeded: it does not fit.
        StorageAway, Conflict: see ``promote.put``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    written = promote.put([text.encode()])
    with transaction.atomic():
        adapters.refresh(adapter)
        blob = promote.mark_stored(written)
        if manifests.main_of(adapter) != parent:
            return False
        quotas.charge(namespace=adapter.namespace, blobs=[blob])
        kept = [entry for entry in contents.base_of(parent) if entry.path != contents.README]
        revision = manifests.commit(
            actor=user,
            adapter=adapter,
            parent=parent,
            entries=[*kept, manifests.Entry(contents.README, blob, FileRole.CARD)],
            message=_("Update %(path)s") % {"path": contents.README},
        )
        manifests.move(actor=user, revision=revision, name=manifests.MAIN, is_branch=True)
        publish.record_commit(user=user, revision=revision, ref=manifests.MAIN)
    return True
