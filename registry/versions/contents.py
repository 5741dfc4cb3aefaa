"""The files of a new version: accepted uploads, and files kept from the parent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from django.utils.translation import gettext as _

from lorary.library.variants import HIGH, LOW, superseded_in, variants_of
from registry.adapters import manifests
from registry.adapters.manifests import Entry
from registry.blobs import selectors as blob_selectors
from registry.errors import Invalid, UploadIncomplete, UploadNotReady, UploadRefused
from registry.models import Blob, FileRole, Revision, Upload, UploadState, User
from registry.uploads import check, parts
from registry.versions import revisions

MAX_FILES = 64
#: Path of the file whose text is an adapter's card.
README = "README.md"


def entries_of_uploads(user: User, uploads: Sequence[Upload], family: str) -> list[Entry]:
    """Return manifest entries for uploads, with the primary file and the halves of a pair marked.

    Args:
        uploads: One for each path.
        family: Declared base model, or empty.

    Raises:
        UploadIncomplete, UploadNotReady, UploadRefused: an upload is not accepted.
        Invalid: no weights, too many files, another user's upload, or a duplicate path.
    """
    if not 1 <= len(uploads) <= MAX_FILES:
        raise Invalid(_("A version must have 1 to %(n)d files.") % {"n": MAX_FILES})
    if len({upload.path for upload in uploads}) != len(uploads):
        raise Invalid(_("Two files have the same name."))
    for upload in uploads:
        _require_accepted(user, upload)
    files = {upload.path: upload.blob for upload in uploads if upload.blob is not None}
    if not any(role_of(path) == FileRole.WEIGHTS for path in files):
        raise Invalid(_("A version needs a .safetensors file."))
    return arranged(files, family)


def arranged(files: Mapping[str, Blob], family: str = "") -> list[Entry]:
    """Return manifest entries for files, with the primary file and the halves of a pair marked.

    Args:
        family: Declared base model, or empty.
    """
    weights = {path: blob for path, blob in files.items() if role_of(path) == FileRole.WEIGHTS}
    documents = {path: blob_selectors.document_of(blob) for path, blob in weights.items()}
    variants = variants_of(documents, family)
    primary = _primary(weights, variants)
    return [
        Entry(
            path,
            blob,
            role_of(path),
            is_primary=path == primary,
            variant=variants.get(path, ""),
        )
        for path, blob in files.items()
    ]


def _primary(weights: Mapping[str, Blob], variants: Mapping[str, str]) -> str:
    """Return the path of the largest weights, or of the first half of a pair; "" if there are none.

    Only the last checkpoint of a run is considered. Among files of the same size, the one in the
    fewest folders is chosen, because trainers put their checkpoints into folders beside the result.
    """
    is_pair = {HIGH, LOW} <= set(variants.values())
    return max(
        weights.keys() - superseded_in(weights),
        key=lambda path: (
            is_pair and variants.get(path) == HIGH,
            weights[path].size_bytes,
            -path.count("/"),
            path,
        ),
        default="",
    )


def _require_accepted(user: User, upload: Upload) -> None:
    if upload.owner_id != user.pk:
        raise Invalid(_("An upload belongs to another user."))
    named = {"path": upload.path, "state": upload.state}
    facts = {"upload": str(upload.public_id), "state": upload.state}
    if upload.state == UploadState.RECEIVING:
        text = _("“%(path)s” was not sent completely. Send the rest and complete the upload.")
        raise UploadIncomplete(text % named, missing=parts.missing_in(upload)[:1000], **facts)
    if upload.state == UploadState.CHECKING:
        text = _("“%(path)s” is being checked. Wait until it is accepted.")
        raise UploadNotReady(text % named, **facts)
    if upload.state != UploadState.ACCEPTED:
        text = _("“%(path)s” is %(state)s and cannot be published.")
        raise UploadRefused(text % named, findings=check.results_of(upload), **facts)


_ROLES = {
    "safetensors": FileRole.WEIGHTS,
    "json": FileRole.CONFIG,
    "md": FileRole.CARD,
    "png": FileRole.SAMPLE,
    "jpg": FileRole.SAMPLE,
    "jpeg": FileRole.SAMPLE,
    "webp": FileRole.SAMPLE,
    "gif": FileRole.SAMPLE,
    "mp4": FileRole.SAMPLE,
    "webm": FileRole.SAMPLE,
    "log": FileRole.TRAINING,
    "toml": FileRole.TRAINING,
    "yaml": FileRole.TRAINING,
    "yml": FileRole.TRAINING,
}


def role_of(path: str) -> str:
    """Return the role of a file from its name."""
    return _ROLES.get(path.rpartition(".")[2].casefold(), FileRole.OTHER)


def with_kept(entries: list[Entry], parent: Revision) -> list[Entry]:
    """Return the entries with the parent's files that are neither weights nor replaced.

    Files of withdrawn versions are left out. So is the card, which the publication writes.

    Raises:
        Invalid: two names differ only in case.
    """
    paths = {entry.path for entry in entries}
    kept = [
        entry
        for entry in base_of(parent)
        if entry.role != FileRole.WEIGHTS and entry.path not in {*paths, README}
    ]
    listed = entries + kept
    require_distinct(entry.path for entry in listed)
    return listed


def base_of(tip: Revision, withheld: Set[int] | None = None) -> list[Entry]:
    """Return the files that the next revision of a branch starts from.

    Files of withdrawn versions are left out. On ``main``, those of the default revision replace the
    weights.

    Args:
        withheld: Result of ``blobs.withheld_in``; computed if None.
    """
    lines = manifests.entries_of(tip)
    if not lines:
        return []
    if withheld is None:
        withheld = blob_selectors.withheld_in(tip.adapter)
    kept = [entry for entry in lines if entry.blob.pk not in withheld]
    if not any(entry.role == FileRole.WEIGHTS for entry in lines if entry not in kept):
        return kept
    if manifests.main_of(tip.adapter) != tip:
        return kept
    instead, _version = revisions.default_revisions([tip.adapter])[tip.adapter_id]
    if instead == tip:
        return kept
    taken = manifests.entries_of(instead)
    paths = {entry.path for entry in taken}
    others = [e for e in kept if e.role != FileRole.WEIGHTS and e.path not in paths]
    return [*taken, *others]


def readme_of(entries: Iterable[Entry]) -> Entry | None:
    """Return the entry of the card, or None."""
    return next((entry for entry in entries if entry.path == README), None)


def readme_on(tip: Revision) -> Entry | None:
    """Return the entry of the card that the next revision of a branch starts from, or None."""
    return readme_of(base_of(tip))


def takes_readme(entries: Iterable[Entry]) -> bool:
    """Return whether a card can be added: there is neither one nor a name like ``readme.md``."""
    try:
        require_distinct([*(entry.path for entry in entries), README])
    except Invalid:
        return False
    return True


def require_distinct(paths: Iterable[str]) -> None:
    """Refuse names that some file systems cannot store together.

    Raises:
        Invalid: two names differ only in case, or one is a folder of another.
    """
    keys = sorted(path.casefold() for path in paths)
    if len(set(keys)) != len(keys):
        raise Invalid(_("Two file names differ only in case, which not every system supports."))
    files = set(keys)
    for key in keys:
        folder = next((one for one in _folders(key) if one in files), None)
        if folder is not None:
            text = _("“%(path)s” cannot be a file and a folder at once.")
            raise Invalid(text % {"path": folder})


def _folders(path: str) -> Iterator[str]:
    """Yield every folder that contains a path."""
    while path := path.rpartition("/")[0]:
        yield path
