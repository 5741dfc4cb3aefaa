"""Edits of adapters and versions by users, which update README.md, and by a pushed README.md.

If README.md cannot be updated, that is logged and nothing is undone: the next edit updates it.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from registry.accounts import permissions, quotas
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.cards import markdown, readme
from registry.cards.fields import Card
from registry.errors import LoraryError
from registry.models import Adapter, FileRole, Maturity, Revision, User, Version
from registry.versions import contents, latest, publish
from registry.versions import services as versions
from registry.versions.details import Details, Edit

#: Maximum attempts to write a README if ``main`` moves meanwhile.
TRIES = 5

log = logging.getLogger(__name__)


def edit_adapter(*, actor: User, adapter: Adapter, **fields: Any) -> Adapter:  # noqa: ANN401 - see adapters.create
    """Change fields of an adapter and update README.md; omitted fields are not changed."""
    with transaction.atomic():
        _describe(actor, adapter, fields)
        update_readme_on_commit(actor=actor, adapter=adapter)
    return adapter


def edit_version(*, actor: User, version: Version, details: Details | Edit) -> Version:
    """Change the description of a version and update README.md; see ``versions.describe``."""
    with transaction.atomic():
        versions.describe(actor=actor, version=version, details=details)
        update_readme_on_commit(actor=actor, adapter=version.adapter)
    return version


def apply(*, actor: User, adapter: Adapter, card: Card) -> None:
    """Set the fields of an adapter and of the version that its card describes from the card.

    Values that the card does not have stay.
    """
    changed = _changed(adapter, card)
    if changed:
        _describe(actor, adapter, changed)
    version = latest.latest_described_by_card(adapter, manifests.main_of(adapter))
    if version is not None:
        current = Details.of(version)
        if card.details(current) != current:
            versions.describe(actor=actor, version=version, details=card.details)


def _describe(actor: User, adapter: Adapter, fields: dict[str, Any]) -> None:
    adapters.describe(actor=actor, adapter=adapter, **fields)
    if "card" in fields:
        markdown.store_on_commit(adapter)


def _changed(adapter: Adapter, card: Card) -> dict[str, Any]:
    """Return the card's values that differ from the adapter's fields."""
    values: dict[str, Any] = {"card": card.text}
    if card.licence is not None and card.licence.casefold() != adapter.licence.casefold():
        values["licence"] = card.licence
    if card.is_mature and adapter.maturity == Maturity.GENERAL:
        values["maturity"] = Maturity.MATURE
    changed = {field: value for field, value in values.items() if getattr(adapter, field) != value}
    if card.tags is not None:
        before = set(adapter.tags.values_list("name", flat=True))
        if before != set(card.tags):
            changed["tags"] = list(card.tags)
    return changed


def update_readme_on_commit(*, actor: User, adapter: Adapter) -> None:
    """Update README.md on ``main`` from the fields after the commit of the transaction."""
    transaction.on_commit(lambda: _update_readme(actor, adapter.pk), robust=True)


def _update_readme(actor: User, adapter_id: int) -> None:
    rows = Adapter.objects.select_related("namespace")
    try:
        for _try in range(TRIES):
            if _try_update(actor, rows.get(pk=adapter_id)):
                return
    except (LoraryError, OSError) as reason:
        log.warning("README.md of adapter %d is not updated yet: %s", adapter_id, reason)


def _try_update(actor: User, adapter: Adapter) -> bool:
    """Update the README if necessary; return False if ``main`` moved meanwhile."""
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
    return text is None or _replace_readme(actor, adapter, tip, text)


def _replace_readme(actor: User, adapter: Adapter, parent: Revision, text: str) -> bool:
    """Replace the README on ``main``; return False if ``main`` moved meanwhile."""
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
