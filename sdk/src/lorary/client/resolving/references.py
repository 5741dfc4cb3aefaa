"""References to adapters in files, and where their files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lorary.client.errors import LoraryError
    from lorary.client.finding.by_hash import DerivedForm
    from lorary.client.models import File, Version

State = Literal["here", "hub", "missing"]
Evidence = Literal["hash", "name"]


@dataclass(slots=True)
class LoraReference:
    """An adapter that a file names.

    Attributes:
        name: Its name there; empty if only a hash is known.
        strength: Its strength; None if unknown.
        hashes: Kind of hash → hash.
        state: ``here``: a file on this computer; ``hub``: only on the hub; ``missing``.
        evidence: How it was recognised; None if it is missing.
        version: The version that has it, without its files; None if no hub knows it.
        file: The file of that version.
        derived: How the hub made the named file of that file; None if it is that file.
        path: The local file; None if it is not here.
        sha256: Digest of the file; empty if unknown.
        candidates: ``owner/name@v1`` of each version whose file it may be, if the files differ.
        also: ``owner/name@v1`` of other adapters that have the same file as ``version``.
        reason: Why the hub no longer has it; empty if it has it or never had it.
    """

    name: str
    strength: float | None
    hashes: Mapping[str, str]
    state: State = "missing"
    evidence: Evidence | None = None
    version: Version | None = None
    file: File | None = None
    derived: DerivedForm | None = None
    path: Path | None = None
    sha256: str = ""
    candidates: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    reason: str = ""

    @property
    def adapter(self) -> str:
        """``owner/name`` of the version; empty without one."""
        return self.version.adapter if self.version is not None else ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The adapters of one file.

    Attributes:
        path: The file.
        references: The adapters that it names, in its order.
        error: Why it could not be read; None if it was read.
    """

    path: Path
    references: tuple[LoraReference, ...] = ()
    error: LoraryError | None = field(default=None)
