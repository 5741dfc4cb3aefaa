"""What is kept of headers: the anatomy of a blob, and of a version whose configuration says more.

Documents name no file: the same bytes may have been sent by several people, under names of theirs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lorary.anatomy.claims.base_models import FILE_NAME, covers
from lorary.anatomy.claims.config import MOST_CONFIG_BYTES
from lorary.anatomy.sidecars import CONFIG_NAME, PEFT_STEM
from registry import storage
from registry.models import Blob, BlobAnatomy, BlobHash, HashKind, VersionAnatomy
from registry.scan import checks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lorary.anatomy import Anatomy, Inspection
    from registry.models import Version

    class Listed(Protocol):
        """A line of a manifest, stored or not yet."""

        @property
        def path(self) -> str:
            """Name in the manifest."""

        @property
        def blob(self) -> Blob:
            """Its bytes."""

        @property
        def is_primary(self) -> bool:
            """Whether the version is about it."""


#: Confidence of a family that the tensors show, whoever says what.
BY_TENSORS = frozenset({"proven", "narrowed"})
#: Greatest rank that a column holds; a header can declare any number.
MAX_RANK = 2**31 - 1
MAX_ALGORITHM = 32


def document_of(anatomy: Anatomy) -> dict[str, Any]:
    """Return the document to keep, as the database gives it back."""
    document: dict[str, Any] = json.loads(json.dumps(anatomy.to_dict()))
    claimed = document["base"]["claimed"]
    if claimed.get("lineage_source") == FILE_NAME:
        claimed["lineage_value"] = None
    told = [claimed, *claimed.get("lineages", ()), *claimed.get("others", ())]
    for one in told:
        if one.get("source") == FILE_NAME:
            one["value"] = None
    document["file"]["name"] = ""
    return document


class Facts(NamedTuple):
    """What lists filter a version by; ``rank`` is the most frequent one."""

    family: str
    algorithm: str
    rank: int | None


def facts_of(document: Mapping[str, Any], declared: str = "") -> Facts:
    """Return the facts of an anatomy document (empty: not read) and what a person declared.

    The family is the one that the tensors show, else the declared one, else what the file claims;
    both only where its tensors allow it.
    """
    base: Mapping[str, Any] = document.get("base") or {}
    own, possible = base.get("family") or "", allowed_in(base)
    is_shown = base.get("confidence") in BY_TENSORS and len(possible) == 1
    said = declared if not possible or declared in possible else ""
    family = own if own and is_shown else said or own or _claimed(base)
    rank = (document.get("rank") or {}).get("mode")
    return Facts(
        family,
        (document.get("algorithm") or "")[:MAX_ALGORITHM],
        rank if isinstance(rank, int) and 0 < rank <= MAX_RANK else None,
    )


def allowed_in(base: Mapping[str, Any]) -> Sequence[str]:
    """Return the families that the tensors allow; earlier documents name the candidates only."""
    return base.get("allowed") or base.get("candidates") or ()


def open_in(base: Mapping[str, Any]) -> Sequence[str]:
    """Return the families that the tensors allow, () where they tell which one it is."""
    possible = allowed_in(base)
    return () if base.get("family") and len(possible) == 1 else possible


def _claimed(base: Mapping[str, Any]) -> str:
    """Return the one candidate that the file's claim names, "" where it names none or several."""
    claimed = (base.get("claimed") or {}).get("family") or ""
    named = [one for one in base.get("candidates") or () if covers(claimed, one)]
    return named[0] if len(named) == 1 else ""


def keep(*, blob: Blob, document: dict[str, Any]) -> None:
    """Write the anatomy of a blob over the one before; call it inside a transaction."""
    facts = facts_of(document)
    BlobAnatomy.objects.update_or_create(
        blob=blob,
        defaults={
            "kind": document["kind"],
            "family": document["base"]["family"] or "",
            "algorithm": facts.algorithm,
            "rank": facts.rank,
            "document": document,
        },
    )


def keep_hashes(*, blob: Blob, subject: checks.Subject) -> None:
    """Write the hashes of a blob over those before; call it inside a transaction.

    Files that are no weights keep theirs as they are: the same bytes may be sent under both kinds
    of names.
    """
    found = subject.hashes
    if not found:
        return
    shown = {kind: value for kind, value in found.items() if kind != HashKind.SHA256}
    known = Blob.objects.filter(pk=blob.pk)
    known.update(hashes=shown, claimed_hashes=subject.claimed_hashes)
    BlobHash.objects.bulk_create(
        [BlobHash(blob=blob, kind=kind, value=value) for kind, value in found.items()],
        update_conflicts=True,
        unique_fields=["kind", "blob"],
        update_fields=["value"],
    )


def read_pair(files: Iterable[Listed]) -> dict[str, Any] | None:
    """Return the document of a manifest's primary weights with the configuration beside them.

    Returns:
        The document with its findings; None where no configuration lies beside, where it may be
        another file's, or where bytes are gone.
    """
    pair = _pair(list(files))
    if pair is None:
        return None
    weights, config = pair
    try:
        inspection = _look(weights, config)
    except FileNotFoundError:
        return None
    if inspection.anatomy is None:
        return None
    findings = json.loads(json.dumps([found.to_dict() for found in inspection.findings]))
    return {**document_of(inspection.anatomy), "findings": findings}


def _pair(files: list[Listed]) -> tuple[Listed, Listed] | None:
    """Return the primary weights and their configuration.

    It is theirs when it lies in their folder, and they have the name that PEFT gives or are the
    only weights there.
    """
    weights = next((file for file in files if file.is_primary), None)
    if weights is None:
        return None
    folder, _slash, name = weights.path.rpartition("/")
    near = [file for file in files if file.path.rpartition("/")[0] == folder]
    config = next((f for f in near if f.path.rpartition("/")[2] == CONFIG_NAME), None)
    is_alone = sum(checks.is_weights(file.path) for file in near) == 1
    if config is None or not (is_alone or name.startswith(PEFT_STEM)):
        return None
    return weights, config


def _look(weights: Listed, config: Listed) -> Inspection:
    with storage.store().open(config.blob.sha256) as handle:
        raw = handle.read(MOST_CONFIG_BYTES + 1)  # one more: the parser says that it is too long
    with storage.store().open(weights.blob.sha256) as handle:
        return checks.inspect_with_config(handle, raw, name=weights.path)


def keep_pair(*, version: Version, document: dict[str, Any]) -> None:
    """Write what a version's weights and configuration say together."""
    VersionAnatomy.objects.update_or_create(version=version, defaults={"document": document})
