"""The ordered checks of an upload.

``QUICK`` runs while the uploader waits: it reads the first bytes and the header. ``DEEP`` runs
on the ``checks`` queue: it streams the whole file in constant memory. A check is a function from
a Subject to findings; one of severity ``error`` refuses the file and ends the list, since what
follows relies on what came before.

To add a check: write the function, put it in its place in a list, describe each code in
``docs/findings.md``, and test it in ``tests/registry/test_checks.py``.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from django.conf import settings
from django.utils.translation import gettext as _

from lorary.anatomy import (
    Finding,
    Inspection,
    finding_codes,
    inspect_bytes,
    inspect_file,
    inspect_source,
)
from lorary.anatomy.findings.finding import finding
from lorary.anatomy.findings.hashes import claimed_hashes, embedded_hashes
from lorary.safetensors import Limits, open_source
from registry import ignored_paths
from registry.scan import file_scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Progress = Callable[[int, int], None]
    Check = Callable[["Subject"], Iterable[Finding]]

__all__ = [
    "DEEP",
    "QUICK",
    "Subject",
    "check_failed",
    "comes_from_header",
    "digest",
    "digest_differs",
    "empty_file",
    "head_bytes",
    "is_public",
    "is_refused",
    "is_uploaders",
    "is_weights",
    "look",
    "look_at_pair",
    "of_announcement",
    "reread",
    "run_deep",
    "run_quick",
    "stored_differs",
    "weights_known",
]

WEIGHTS = ".safetensors"

#: Files that may travel beside the weights.
COMPANIONS = (
    ".json", ".jsonl", ".md", ".txt", ".log", ".jinja", ".toml", ".yaml", ".yml", ".csv", ".png",
    ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm",
)  # fmt: skip
#: Texts that are named without a suffix.
PLAIN_NAMES = frozenset({"authors", "copying", "licence", "license", "notice"})
MAX_COMPANION_BYTES = 32 * 1024 * 1024

#: Codes of the anatomy that only reading the whole file can give or take back.
_OF_BYTES = frozenset({"hash_differs"})

#: How pictures and videos begin: at which byte, and with what.
_PICTURES = {
    ".png": (0, (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": (0, (b"\xff\xd8\xff",)),
    ".jpeg": (0, (b"\xff\xd8\xff",)),
    ".webp": (0, (b"RIFF",)),
    ".gif": (0, (b"GIF87a", b"GIF89a")),
    ".mp4": (4, (b"ftyp",)),
    ".webm": (0, (b"\x1aE\xdf\xa3",)),
}


@dataclass(slots=True)
class Subject:
    """A file under examination.

    ``sha256`` is what its bytes had when they arrived, where that is known. ``inspection`` is
    filled by the header check, ``reading`` when every byte is read.
    """

    path: str
    size_bytes: int
    handle: BinaryIO
    sha256: str = ""
    progress: Progress | None = None
    inspection: Inspection | None = field(default=None)
    reading: file_scan.Reading | None = field(default=None)

    @property
    def is_weights(self) -> bool:
        """Whether the name says safetensors."""
        return is_weights(self.path)

    @property
    def is_companion(self) -> bool:
        """Whether the name is one of a file that may lie beside weights."""
        name = self.path.rpartition("/")[2].casefold()
        return self.suffix in COMPANIONS or name in PLAIN_NAMES

    @property
    def suffix(self) -> str:
        """The extension with its dot, in lower case."""
        return "." + self.path.rpartition(".")[2].casefold()

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes by which people search weights, by kind; {} of other files.

        A licence or a configuration lies beside a thousand adapters and tells none of them.
        """
        if self.metadata is None or self.reading is None:
            return {}
        return dict(self.reading.hashes)

    @property
    def claimed_hashes(self) -> dict[str, str]:
        """Hashes of the weights that their metadata names, by its keys."""
        return {} if self.metadata is None else claimed_hashes(self.metadata)

    @property
    def metadata(self) -> Mapping[str, str] | None:
        """What the header says beside the tensors; None of files that have no header."""
        inspection = self.inspection
        if inspection is None or inspection.header is None:
            return None
        return inspection.header.metadata


def _name(subject: Subject) -> Iterator[Finding]:
    """Only kinds of files that a version can hold."""
    if pickle := ignored_paths.named_pickle(subject.path):
        yield pickle
    elif not subject.is_weights and not subject.is_companion:
        yield Finding(
            "file_type_unsupported",
            "error",
            _("“%(path)s” is of a kind that is not kept here. Weights are .safetensors files; "
              "beside them may lie: %(all)s.")
            % {"path": subject.path, "all": ", ".join(COMPANIONS)},
            {"suffix": subject.suffix[:16]},
        )  # fmt: skip


def _companion_size(subject: Subject) -> Iterator[Finding]:
    """What may lie beside weights is small."""
    if not subject.is_weights and subject.size_bytes > MAX_COMPANION_BYTES:
        yield Finding(
            "companion_too_large",
            "error",
            _("Files beside the weights have at most %(limit)d bytes.")
            % {"limit": MAX_COMPANION_BYTES},
            {"limit": MAX_COMPANION_BYTES},
        )


def _companion(subject: Subject) -> Iterator[Finding]:
    """Files beside the weights are small, and text or pictures as their names say."""
    if subject.is_weights:
        return
    if subject.size_bytes > MAX_COMPANION_BYTES:
        yield from _companion_size(subject)
        return
    subject.handle.seek(0)
    head = subject.handle.read(4096)
    magic = _PICTURES.get(subject.suffix)
    is_fine = head[magic[0] :].startswith(magic[1]) if magic else b"\0" not in head
    if not is_fine:
        yield Finding(
            "content_differs_from_name",
            "error",
            _("The content of “%(path)s” is not what its name says.") % {"path": subject.path},
            {"suffix": subject.suffix},
        )


def look(head: bytes, *, name: str, size: int) -> Inspection:
    """Return what a file's first bytes say, before the rest is sent.

    Args:
        head: At most ``head_bytes()`` bytes.
        name: File name, for messages.
        size: Length of the whole file in bytes.
    """
    return inspect_bytes(head, name=name, size=size, limits=_limits())


def look_at_pair(handle: BinaryIO, config: bytes, *, name: str) -> Inspection:
    """Return what the header of stored weights says with the configuration beside them."""
    with open_source(handle) as source:
        return inspect_source(source, name=name, limits=_limits(), config=config)


def head_bytes() -> int:
    """Return how many first bytes hold every header that is accepted here."""
    return settings.LORARY.max_header_bytes + 8


def _limits() -> Limits:
    return Limits(header_bytes=settings.LORARY.max_header_bytes)


def _header(subject: Subject) -> Iterator[Finding]:
    """Weights have a sound header and hold an adapter."""
    if not subject.is_weights:
        return
    subject.handle.seek(0)
    subject.inspection = inspect_file(subject.handle, name=subject.path, limits=_limits())
    yield from subject.inspection.findings


def _bytes(subject: Subject) -> Iterator[Finding]:
    """What is stored is what arrived; every number is finite, and modules do something."""
    header = subject.inspection.header if subject.inspection else None
    found = file_scan.read(subject.handle, subject.size_bytes, header, subject.progress)
    if subject.sha256 and found.hashes["sha256"] != subject.sha256:
        yield stored_differs(subject.sha256, found.hashes["sha256"])
        return
    subject.reading = found
    yield from found.findings


def _claims(subject: Subject) -> Iterator[Finding]:
    """Digests that a file carries of its own tensors are theirs."""
    if subject.reading is None or subject.metadata is None:
        return
    computed = subject.reading.hashes["data_sha256"]
    carried = embedded_hashes(subject.metadata)
    stale = {key: digest for key, digest in carried.items() if digest != computed}
    if stale:
        yield finding(
            "hash_differs",
            _("The metadata names another hash (%(keys)s) than the tensors have: they were changed "
              "after it was written, as by a resize, a merge or a conversion, or the metadata are "
              "another file's. Programs that look files up by this hash find the other one.")
            % {"keys": ", ".join(stale)},
            keys=list(stale),
            claimed=list(stale.values()),
            computed=computed,
        )  # fmt: skip


QUICK: Sequence[Check] = (_name, _companion, _header)
DEEP: Sequence[Check] = (*QUICK, _bytes, _claims)


def of_announcement(path: str, size_bytes: int) -> list[Finding]:
    """Return what is wrong with a file before any of its bytes has come: its kind, its size."""
    return _run((_name, _companion_size), Subject(path, size_bytes, io.BytesIO()))


def run_quick(subject: Subject) -> list[Finding]:
    """Return the findings of the name and the header; milliseconds."""
    return _run(QUICK, subject)


def run_deep(subject: Subject, *, progress: Progress | None = None) -> list[Finding]:
    """Return the findings of everything; ``progress`` gets bytes done and bytes in all."""
    subject.progress = progress
    return _run(DEEP, subject)


def reread(subject: Subject) -> dict[str, str]:
    """Read a whole file, whatever there is to say against it, and return its hashes by kind."""
    for check in (_header, _bytes):
        list(check(subject))
    assert subject.reading is not None  # noqa: S101 - nothing was expected of its digest
    return dict(subject.reading.hashes)


def _run(checks: Sequence[Check], subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    for check in checks:
        findings += check(subject)
        if is_refused(findings):
            break
    return findings


def is_refused(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings is an error."""
    return any(finding.severity == "error" for finding in findings)


def digest(chunks: Iterable[bytes]) -> str:
    """Return the sha256 of what was stored, 64 hex digits."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()


def comes_from_header(code: str) -> bool:
    """Whether a finding is told by a header alone, so that reading it again renews the finding."""
    return code in finding_codes() - _OF_BYTES


def is_uploaders(code: str) -> bool:
    """Whether a finding is about what its uploader may see, so that nobody else is told."""
    return code == "weights_known"


def is_public(code: str, severity: str) -> bool:
    """Whether everyone who sees a version is told a finding.

    Notes of little weight are for those who can act on them. So are private things: published,
    their list would lead strangers to every file with a password in it.
    """
    return severity != "info" and not code.startswith("privacy_")


def is_weights(path: str) -> bool:
    """Whether the name says safetensors."""
    return path.casefold().endswith(WEIGHTS)


def empty_file() -> Finding:
    """Return the finding for a file without bytes."""
    return Finding("file_empty", "error", _("The file is empty. Export it again."), {"size": 0})


def digest_differs(declared: str, computed: str) -> Finding:
    """Return the finding for bytes that are not the announced ones."""
    return Finding(
        "digest_mismatch",
        "error",
        _("The bytes that arrived hash to %(computed)s…, announced was %(declared)s…. Send the "
          "file again.") % {"computed": computed[:12], "declared": declared[:12]},
        {"declared": declared, "computed": computed},
    )  # fmt: skip


def stored_differs(arrived: str, stored: str) -> Finding:
    """Return the finding for bytes that changed after they arrived."""
    return Finding(
        "stored_differs",
        "error",
        _("The bytes that were kept are not those that arrived (sha256 %(arrived)s…, now "
          "%(stored)s…): a disk or its memory fails. Send the file again, and tell an "
          "administrator.") % {"arrived": arrived[:12], "stored": stored[:12]},
        {"arrived": arrived, "stored": stored},
    )  # fmt: skip


def weights_known(places: Sequence[Mapping[str, object]]) -> Finding:
    """Return the finding for weights that are published already.

    Args:
        places: ``adapter``, ``version`` and ``same`` (``file``, ``tensors`` or ``weights``) of
            each; only such as the uploader may see.
    """
    named = ", ".join(f"{place['adapter']} {place['version']}" for place in places[:3])
    return Finding(
        "weights_known",
        "warning",
        _("These weights are published already: %(named)s. A new version of that adapter, or a "
          "link to it, may serve people better.") % {"named": named},
        {"count": len(places), "places": [dict(place) for place in places]},
    )  # fmt: skip


def check_failed(reason: str) -> Finding:
    """Return the finding for checks that could not be run."""
    return Finding(
        "check_failed",
        "error",
        _("The checks could not be finished. Send the file again; if it happens again, tell "
          "an administrator."),
        {"reason": reason[:200]},
    )  # fmt: skip
