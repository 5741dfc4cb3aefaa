"""The checks of an upload, in order.

``QUICK`` reads the first bytes and works out the anatomy of the header while the uploader waits.
``DEEP`` runs on the ``checks`` queue and streams the whole file in constant memory. A check is a
function from a Subject to findings. A finding of severity ``error`` refuses the file and ends the
list, because later checks depend on earlier ones.

To add a check, write the function, add it to a list, describe each code in ``docs/findings.md``,
and test it in ``tests/registry/test_checks.py``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from django.conf import settings
from django.utils.translation import gettext as _

from lorary.algebra.recognition.sketch import WeightSketches
from lorary.anatomy import (
    Finding,
    Inspection,
    finding_codes,
    inspect_bytes,
    inspect_file,
    inspect_source,
)
from lorary.anatomy.findings.finding import finding, from_error
from lorary.anatomy.findings.hashes import claimed_hashes, embedded_hashes
from lorary.safetensors import (
    Header,
    HeaderError,
    Limits,
    open_source,
    parse_header,
    read_header,
)
from registry.scan import file_scan, ignored_paths

Progress = Callable[[int, int], None]
Check = Callable[["Subject"], Iterable[Finding]]

WEIGHTS = ".safetensors"

#: Suffixes of files that a version may have besides weights.
COMPANIONS = (
    ".json", ".jsonl", ".md", ".txt", ".log", ".jinja", ".toml", ".yaml", ".yml", ".csv", ".png",
    ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm",
)  # fmt: skip
#: Names of texts without a suffix.
PLAIN_NAMES = frozenset({"authors", "copying", "licence", "license", "notice"})
MAX_COMPANION_BYTES = 32 * 1024 * 1024

#: Codes of the anatomy that need the whole file.
_OF_BYTES = frozenset({"hash_differs"})

#: Signatures of images and videos: offset and possible bytes.
_SIGNATURES = {
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

    ``sha256`` is the digest of the received bytes, empty until it is known; reading every byte sets
    it. ``declared`` is the digest that the uploader stated, or empty. The quick checks set
    ``inspection``, they or the deep ones set ``header``, and the check of all bytes sets ``scan``.
    """

    path: str
    size_bytes: int
    handle: BinaryIO
    sha256: str = ""
    declared: str = ""
    progress: Progress | None = None
    inspection: Inspection | None = field(default=None)
    header: Header | None = field(default=None)
    scan: file_scan.FileScan | None = field(default=None)

    @property
    def is_weights(self) -> bool:
        """Whether the name has the suffix of safetensors."""
        return is_weights(self.path)

    @property
    def is_companion(self) -> bool:
        """Whether the name is one of a file that may accompany weights."""
        name = self.path.rpartition("/")[2].casefold()
        return self.suffix in COMPANIONS or name in PLAIN_NAMES

    @property
    def suffix(self) -> str:
        """The extension with its dot, in lower case."""
        return "." + self.path.rpartition(".")[2].casefold()

    @property
    def hashes(self) -> dict[str, str]:
        """Hashes by kind, by which users search weights; empty for other files.

        A licence or a configuration accompanies many adapters and identifies none of them.
        """
        if self.metadata is None or self.scan is None:
            return {}
        return dict(self.scan.hashes)

    @property
    def sketch(self) -> WeightSketches | None:
        """The sketch of its weights; None for files that can't be sketched."""
        return None if self.scan is None else self.scan.sketch

    @property
    def energies(self) -> dict[str, float]:
        """The energy of its weights by block; empty for files without an exact one."""
        return {} if self.scan is None else self.scan.energies or {}

    @property
    def claimed_hashes(self) -> dict[str, str]:
        """Hashes of the weights that their metadata names, by key."""
        return {} if self.metadata is None else claimed_hashes(self.metadata)

    @property
    def metadata(self) -> Mapping[str, str] | None:
        """The header's metadata; None for files without a header."""
        return None if self.header is None else self.header.metadata


def _name(subject: Subject) -> Iterator[Finding]:
    """Accept only the kinds of files that a version may have."""
    if pickle := ignored_paths.named_pickle(subject.path):
        yield pickle
    elif not subject.is_weights and not subject.is_companion:
        yield Finding(
            "file_type_unsupported",
            "error",
            _("“%(path)s” has an unsupported type. Weights are .safetensors files; other files "
              "may be: %(all)s.")
            % {"path": subject.path, "all": ", ".join(COMPANIONS)},
            {"suffix": subject.suffix[:16]},
        )  # fmt: skip


def _companion_size(subject: Subject) -> Iterator[Finding]:
    """Limit the size of files other than weights."""
    if not subject.is_weights and subject.size_bytes > MAX_COMPANION_BYTES:
        yield Finding(
            "companion_too_large",
            "error",
            _("Files other than weights can have at most %(limit)d bytes.")
            % {"limit": MAX_COMPANION_BYTES},
            {"limit": MAX_COMPANION_BYTES},
        )


def _companion(subject: Subject) -> Iterator[Finding]:
    """Require that files other than weights are small, and text or images as their names say."""
    if subject.is_weights:
        return
    if subject.size_bytes > MAX_COMPANION_BYTES:
        yield from _companion_size(subject)
        return
    subject.handle.seek(0)
    head = subject.handle.read(4096)
    magic = _SIGNATURES.get(subject.suffix)
    is_valid = head[magic[0] :].startswith(magic[1]) if magic else b"\0" not in head
    if not is_valid:
        yield Finding(
            "content_differs_from_name",
            "error",
            _("The content of “%(path)s” doesn't match its suffix.") % {"path": subject.path},
            {"suffix": subject.suffix},
        )


def inspect_head(head: bytes, *, name: str, size: int) -> Inspection:
    """Return the inspection of a file's first bytes, before the rest is sent.

    Args:
        head: At most ``head_bytes()`` bytes.
        size: Length of the whole file in bytes.
    """
    return inspect_bytes(head, name=name, size=size, limits=_limits())


def header_of(head: bytes, *, size: int) -> Header:
    """Return the header in a file's first bytes.

    Args:
        head: At most ``head_bytes()`` bytes.
        size: Length of the whole file in bytes.

    Raises:
        HeaderError: it is invalid or not complete.
    """
    return parse_header(head, size=size, limits=_limits())


def inspect_with_config(handle: BinaryIO, config: bytes, *, name: str) -> Inspection:
    """Return the inspection of stored weights with their configuration."""
    with open_source(handle) as source:
        return inspect_source(source, name=name, limits=_limits(), config=config)


def head_bytes() -> int:
    """Return the number of first bytes that contain every accepted header."""
    return settings.LORARY.max_header_bytes + 8


def _limits() -> Limits:
    return Limits(header_bytes=settings.LORARY.max_header_bytes)


def _header(subject: Subject) -> Iterator[Finding]:
    """Require that weights have a valid header and contain an adapter."""
    if not subject.is_weights:
        return
    subject.handle.seek(0)
    subject.inspection = inspect_file(subject.handle, name=subject.path, limits=_limits())
    subject.header = subject.inspection.header
    yield from subject.inspection.findings


def _table(subject: Subject) -> Iterator[Finding]:
    """Read the table of tensors, if the quick checks did not."""
    if not subject.is_weights or subject.header is not None:
        return
    subject.handle.seek(0)
    try:
        subject.header = read_header(subject.handle, limits=_limits())
    except HeaderError as error:  # the store has other bytes than the quick checks read
        yield from_error(error)


def _bytes(subject: Subject) -> Iterator[Finding]:
    """Require that the stored bytes are the received ones, and check every number."""
    found = file_scan.scan_file(
        subject.handle, subject.size_bytes, subject.header, subject.progress
    )
    computed = found.hashes["sha256"]
    if subject.sha256 and computed != subject.sha256:
        yield stored_differs(subject.sha256, computed)
        return
    if subject.declared and computed != subject.declared:
        yield digest_differs(subject.declared, computed)
        return
    subject.sha256, subject.scan = computed, found
    yield from found.findings


def _claims(subject: Subject) -> Iterator[Finding]:
    """Compare the digests that a file claims for its own tensors."""
    if subject.scan is None or subject.metadata is None:
        return
    computed = subject.scan.hashes["data_sha256"]
    carried = embedded_hashes(subject.metadata)
    wrong = {key: digest for key, digest in carried.items() if digest != computed}
    if wrong:
        yield finding(
            "hash_differs",
            _("The hash in the metadata (%(keys)s) does not match the tensors. Either the tensors "
              "changed after it was written, as in a resize, merge or conversion, or the metadata "
              "belongs to another file. Programs that search by this hash will find the original "
              "or an unrelated file instead.")
            % {"keys": ", ".join(wrong)},
            keys=list(wrong),
            claimed=list(wrong.values()),
            computed=computed,
        )  # fmt: skip


QUICK: Sequence[Check] = (_name, _companion, _header)
DEEP: Sequence[Check] = (_table, _bytes, _claims)


def check_declared(path: str, size_bytes: int) -> list[Finding]:
    """Return what is wrong with a file's path and size, before its bytes are sent."""
    return _run((_name, _companion_size), Subject(path, size_bytes, io.BytesIO()))


def run_quick(subject: Subject) -> list[Finding]:
    """Return the findings of name and header. Takes milliseconds."""
    return _run(QUICK, subject)


def run_deep(
    subject: Subject,
    *,
    known: Sequence[Finding] | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Return the findings of all checks.

    Args:
        known: Findings of the quick checks, which run again if this is None.
        progress: Called with the bytes done and the total.
    """
    subject.progress = progress
    if known is None:
        return _run((*QUICK, *DEEP), subject)
    return [*known, *_run(DEEP, subject)]


def read_hashes(subject: Subject) -> dict[str, str]:
    """Read a whole file, whatever its findings, and return its hashes by kind."""
    for check in (_header, _bytes):
        list(check(subject))
    assert subject.scan is not None  # noqa: S101 - without `sha256`, `_bytes` always sets it
    return dict(subject.scan.hashes)


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
    """Return the sha256 of stored bytes, 64 hex digits."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()


def comes_from_header(code: str) -> bool:
    """Return whether a finding depends on the header alone, so that reading it again renews it."""
    return code in finding_codes() - _OF_BYTES


def is_uploaders(code: str) -> bool:
    """Return whether only the uploader can see a finding."""
    return code in {"weights_known", "weights_related"}


def is_public(code: str, severity: str) -> bool:
    """Return whether everyone who can see a version can see a finding.

    Notes are for users who can act on them. Findings about private data are not public: their list
    would lead strangers to files with passwords.
    """
    return severity != "info" and not code.startswith("privacy_")


def is_weights(path: str) -> bool:
    """Whether the name has the suffix of safetensors."""
    return path.casefold().endswith(WEIGHTS)


def empty_file() -> Finding:
    """Return the finding for a file without bytes."""
    return Finding("file_empty", "error", _("The file is empty. Export it again."), {"size": 0})


def digest_differs(declared: str, computed: str) -> Finding:
    """Return the finding for received bytes that differ from the declared ones."""
    return Finding(
        "digest_mismatch",
        "error",
        _("The received bytes have the SHA-256 %(computed)s…, but %(declared)s… was declared. "
          "Upload the file again.") % {"computed": computed[:12], "declared": declared[:12]},
        {"declared": declared, "computed": computed},
    )  # fmt: skip


def stored_differs(arrived: str, stored: str) -> Finding:
    """Return the finding for stored bytes that differ from the received ones."""
    return Finding(
        "stored_differs",
        "error",
        _("The stored bytes differ from the received ones (SHA-256 %(arrived)s…, now "
          "%(stored)s…). A disk or memory may be failing. Upload the file again, and tell an "
          "administrator.") % {"arrived": arrived[:12], "stored": stored[:12]},
        {"arrived": arrived, "stored": stored},
    )  # fmt: skip


def weights_known(places: Sequence[Mapping[str, object]]) -> Finding:
    """Return the finding for weights that are already published.

    Args:
        places: ``adapter``, ``version`` and ``same`` (``file``, ``tensors`` or ``weights``) of each
            one that the uploader may see.
    """
    named = ", ".join(f"{place['adapter']} {place['version']}" for place in places[:3])
    return Finding(
        "weights_known",
        "warning",
        _("These weights are already published: %(named)s. A link to them may be enough.")
        % {"named": named},
        {"count": len(places), "places": [dict(place) for place in places]},
    )  # fmt: skip


def weights_related(places: Sequence[Mapping[str, object]], *, is_copy: bool) -> Finding:
    """Return the finding for weights that were made from published ones, or resemble them.

    Args:
        places: ``adapter``, ``version``, ``relation`` and ``cosine`` of each one that the uploader
            may see, the closest first.
        is_copy: Whether one of them is a copy, for example in another number format.
    """
    named = ", ".join(f"{place['adapter']} {place['version']}" for place in places[:3])
    text = (
        _("A copy of these weights is already published, in another form: %(named)s.")
        if is_copy
        else _("Similar weights are already published: %(named)s.")
    )
    return Finding(
        "weights_related",
        "warning" if is_copy else "info",
        text % {"named": named},
        {"count": len(places), "places": [dict(place) for place in places]},
    )


def check_failed(reason: str) -> Finding:
    """Return the finding for checks that could not be run."""
    return Finding(
        "check_failed",
        "error",
        _("The checks could not be completed. Upload the file again. If this happens again, tell "
          "an administrator."),
        {"reason": reason[:200]},
    )  # fmt: skip
