"""Stored anatomies: of a blob, and of a version whose weights have a configuration beside them.

Documents have no file names, because several users may have sent the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from lorary.anatomy import Anatomy, Inspection
from lorary.anatomy.claims.base_models import FILE_NAME, covers
from lorary.anatomy.claims.config import CONFIG_NAME, MOST_CONFIG_BYTES, PEFT_STEM
from registry import storage
from registry.models import Blob, BlobAnatomy, BlobHash, HashKind, Version, VersionAnatomy
from registry.scan import checks


class Listed(Protocol):
    """A manifest entry, stored or not."""

    @property
    def path(self) -> str:
        """Name in the manifest."""

    @property
    def blob(self) -> Blob:
        """Its blob."""

    @property
    def is_primary(self) -> bool:
        """Whether it is the primary file."""


L = TypeVar("L", bound=Listed)

#: Levels of confidence at which a file has a family.
_WITH_FAMILY = frozenset({"proven", "narrowed"})
#: Maximum rank that fits the column; a header can declare any number.
MAX_RANK = 2**31 - 1
MAX_ALGORITHM = 32
MAX_TRAINER = 64
_DENOISER, _ENCODER, _BOTH = PARTS = ("denoiser", "text_encoder", "both")


def document_of(anatomy: Anatomy) -> dict[str, Any]:
    """Return an anatomy as the document to store."""
    document: dict[str, Any] = json.loads(json.dumps(anatomy.to_dict()))
    claimed = document["base"]["claimed"]
    if claimed.get("lineage_source") == FILE_NAME:
        claimed["lineage_value"] = None
    claims = [claimed, *claimed.get("lineages", ()), *claimed.get("others", ())]
    for one in claims:
        if one.get("source") == FILE_NAME:
            one["value"] = None
    document["file"]["name"] = ""
    return document


class Facts(NamedTuple):
    """Columns of versions that lists filter by.

    ``rank`` is the most frequent one; ``parts`` are the trained parts, one of ``PARTS``.
    """

    family: str
    algorithm: str
    rank: int | None
    parts: str
    trainer: str

    @classmethod
    def of(cls, version: Version) -> Facts:
        """Return the current columns of a version."""
        return cls(*(getattr(version, name) for name in cls._fields))


def facts_of(document: Mapping[str, Any], declared: str = "") -> Facts:
    """Return the facts of an anatomy document, which may be empty, and a declared family.

    The family is the one that the tensors show, or else the declared or the claimed one, if the
    tensors allow it.
    """
    base: Mapping[str, Any] = document.get("base") or {}
    own, allowed = base.get("family") or "", allowed_families(base)
    is_shown = base.get("confidence") in _WITH_FAMILY and len(allowed) == 1
    accepted = declared if not allowed or declared in allowed else ""
    family = own if own and is_shown else accepted or own or claimed_family(base)
    rank = (document.get("rank") or {}).get("mode")
    return Facts(
        family,
        (document.get("algorithm") or "")[:MAX_ALGORITHM],
        rank if isinstance(rank, int) and 0 < rank <= MAX_RANK else None,
        parts_of(document),
        trainer_of(document),
    )


def parts_of(document: Mapping[str, Any]) -> str:
    """Return the trained parts in a document, of ``PARTS``; "" for none."""
    parts: Mapping[str, Any] = document.get("parts") or {}
    found = {_DENOISER if part == _DENOISER else _ENCODER for part in parts}
    return _BOTH if len(found) > 1 else "".join(found)


def trainer_of(document: Mapping[str, Any]) -> str:
    """Return the program that the metadata of a document names; "" if there is none."""
    training: Mapping[str, Any] = document.get("training") or {}
    return str(training.get("trainer") or "")[:MAX_TRAINER]


def allowed_families(base: Mapping[str, Any]) -> Sequence[str]:
    """Return the families that the tensors allow; older documents only have candidates."""
    return base.get("allowed") or base.get("candidates") or ()


def undecided_families(base: Mapping[str, Any]) -> Sequence[str]:
    """Return the families that the tensors allow, () if only one is left."""
    allowed = allowed_families(base)
    return () if base.get("family") and len(allowed) == 1 else allowed


def claimed_family(base: Mapping[str, Any]) -> str:
    """Return the only candidate that the file's claim covers; "" if there is none or several."""
    claimed = (base.get("claimed") or {}).get("family") or ""
    named = [one for one in base.get("candidates") or () if covers(claimed, one)]
    return named[0] if len(named) == 1 else ""


def origin_of(family: str, declared: str, base: Mapping[str, Any]) -> str:
    """Return how a version's family is known; "" without a family.

    Only the document's own verdict makes it ``proven``; otherwise the author has ``declared`` it,
    or the file has ``claimed`` it, or weaker signs in the tensors make it ``likely``.

    Args:
        base: Family, confidence and agreement of the document, as far as there are any.
    """
    if not family:
        return ""
    if base.get("confidence") == "proven" and base.get("family") == family:
        return "proven"
    if declared == family:
        return "declared"
    is_likely = base.get("family") == family and base.get("agreement") != "agree"
    return "likely" if is_likely else "claimed"


def save(*, blob: Blob, document: dict[str, Any]) -> None:
    """Save the anatomy of a blob; call it inside a transaction."""
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


def save_energies(*, blob: Blob, energies: Mapping[str, float]) -> None:
    """Save the energy of a blob's weights by block, or by {} that they have no exact one."""
    BlobAnatomy.objects.filter(blob=blob).update(energies=dict(energies))


def save_hashes(*, blob: Blob, subject: checks.Subject) -> None:
    """Save the hashes of a blob; call it inside a transaction.

    Does nothing for files other than weights, because the same bytes may also be sent as weights.
    """
    found = subject.hashes
    if not found:
        return
    others = {kind: value for kind, value in found.items() if kind != HashKind.SHA256}
    known = Blob.objects.filter(pk=blob.pk)
    known.update(hashes=others, claimed_hashes=subject.claimed_hashes)
    BlobHash.objects.bulk_create(
        [BlobHash(blob=blob, kind=kind, value=value) for kind, value in found.items()],
        update_conflicts=True,
        unique_fields=["kind", "blob"],
        update_fields=["value"],
    )


def read_pair(files: Iterable[Listed]) -> dict[str, Any] | None:
    """Return the document of a manifest's primary weights and their configuration.

    Returns:
        The document with its findings; None if there is no configuration, if it may belong to
        another file, or if bytes are missing.
    """
    pair = _pair(list(files))
    if pair is None:
        return None
    weights, config = pair
    try:
        inspection = _inspect(weights, config)
    except FileNotFoundError:
        return None
    if inspection.anatomy is None:
        return None
    findings = json.loads(json.dumps([found.to_dict() for found in inspection.findings]))
    return {**document_of(inspection.anatomy), "findings": findings}


def _pair(files: list[Listed]) -> tuple[Listed, Listed] | None:
    """Return the primary weights and their configuration."""
    weights = next((file for file in files if file.is_primary), None)
    config = None if weights is None else config_beside(weights, files)
    return None if weights is None or config is None else (weights, config)


def config_beside(weights: L, files: Sequence[L]) -> L | None:
    """Return the configuration of weights in a manifest, or None.

    It belongs to them if it is in their folder, and they have PEFT's name or are the only weights
    there.
    """
    folder, _slash, name = weights.path.rpartition("/")
    near = [file for file in files if file.path.rpartition("/")[0] == folder]
    config = next((f for f in near if f.path.rpartition("/")[2] == CONFIG_NAME), None)
    is_alone = sum(checks.is_weights(file.path) for file in near) == 1
    return config if is_alone or name.startswith(PEFT_STEM) else None


def _inspect(weights: Listed, config: Listed) -> Inspection:
    with storage.store().open(config.blob.sha256) as handle:
        raw = handle.read(MOST_CONFIG_BYTES + 1)  # one more, so that the parser refuses it
    with storage.store().open(weights.blob.sha256) as handle:
        return checks.inspect_with_config(handle, raw, name=weights.path)


def save_pair(*, version: Version, document: dict[str, Any]) -> None:
    """Save the anatomy of a version's weights with their configuration."""
    VersionAnatomy.objects.update_or_create(version=version, defaults={"document": document})
