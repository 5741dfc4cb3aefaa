"""What a new version holds: accepted uploads, and what is kept of the files before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.adapters import manifests
from registry.adapters.manifests import Entry
from registry.blobs import selectors as blob_selectors
from registry.errors import Invalid, UploadNotReady, UploadRefused
from registry.models import FileRole, UploadState
from registry.versions import revisions
from registry.versions.variants import HIGH, LOW, superseded_in, variants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

    from registry.models import Blob, Revision, Upload, User

MAX_FILES = 64
#: The one path whose text is an adapter's card.
README = "README.md"


def entries_of_uploads(user: User, uploads: Sequence[Upload], family: str) -> list[Entry]:
    """Return manifest lines of uploads, with the primary one and the halves of a pair.

    Args:
        user: Who sent them.
        uploads: One for each path.
        family: Base model that the user named, empty where nobody did.

    Raises:
        UploadNotReady, UploadRefused: an upload is not accepted (yet).
        Invalid: no weights, too many files, another's upload, or a path twice.
    """
    if not 1 <= len(uploads) <= MAX_FILES:
        raise Invalid(_("A version has 1 to %(n)d files.") % {"n": MAX_FILES})
    if len({upload.path for upload in uploads}) != len(uploads):
        raise Invalid(_("Two files have the same name."))
    for upload in uploads:
        _require_accepted(user, upload)
    files = {upload.path: upload.blob for upload in uploads if upload.blob is not None}
    if not any(role_of(path) == FileRole.WEIGHTS for path in files):
        raise Invalid(_("A version needs a .safetensors file."))
    return arranged(files, family)


def arranged(files: Mapping[str, Blob], family: str = "") -> list[Entry]:
    """Return manifest lines of files, with the primary one and the halves of a pair.

    Args:
        files: Bytes by path.
        family: Base model that the user named, empty where nobody did.
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
    """Return the largest weights file; of a pair, the half that is used first; "" of none.

    Of the checkpoints of one run only the last counts. Of files of one size the one in the fewest
    folders counts: trainers leave their checkpoints in folders beside the result.
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
        raise Invalid(_("An upload is another's."))
    if upload.state in {UploadState.RECEIVING, UploadState.CHECKING}:
        raise UploadNotReady(
            _("“%(path)s” is %(state)s. Wait until it is accepted.")
            % {"path": upload.path, "state": upload.state},
            upload=str(upload.public_id),
            state=upload.state,
        )
    if upload.state != UploadState.ACCEPTED:
        raise UploadRefused(
            _("“%(path)s” is %(state)s and cannot be published.")
            % {"path": upload.path, "state": upload.state},
            upload=str(upload.public_id),
            state=upload.state,
        )


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
    """Return what a file is for, by its name."""
    return _ROLES.get(path.rpartition(".")[2].casefold(), FileRole.OTHER)


def with_kept(entries: list[Entry], parent: Revision) -> list[Entry]:
    """Return lines with those files of the revision before that are no weights, nor given anew.

    What went with a withdrawn version is left behind. So is the card: the publication brings the
    one that tells of the adapter as it is by then.

    Raises:
        Invalid: two names differ only in upper and lower case.
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
    """Return the lines that whatever comes next on a branch is built on.

    What came with a withdrawn version is left behind; on ``main``, those that are read instead are
    in the place of its weights.

    Args:
        tip: Where the branch ends.
        withheld: Ids of blobs as ``blobs.withheld_in`` finds them, where they were looked up.
    """
    if withheld is None:
        withheld = blob_selectors.withheld_in(tip.adapter)
    lines = manifests.entries_of(tip)
    kept = [entry for entry in lines if entry.blob.pk not in withheld]
    if not any(entry.role == FileRole.WEIGHTS for entry in lines if entry not in kept):
        return kept
    if manifests.main_of(tip.adapter) != tip:
        return kept
    instead, _version = revisions.heads([tip.adapter])[tip.adapter_id]
    if instead == tip:
        return kept
    taken = manifests.entries_of(instead)
    paths = {entry.path for entry in taken}
    others = [e for e in kept if e.role != FileRole.WEIGHTS and e.path not in paths]
    return [*taken, *others]


def readme_of(entries: Iterable[Entry]) -> Entry | None:
    """Return the line of a card, None where there is none."""
    return next((entry for entry in entries if entry.path == README), None)


def takes_readme(entries: Iterable[Entry]) -> bool:
    """Whether there is no card yet, nor a name such as ``readme.md`` that it cannot lie beside."""
    try:
        require_distinct([*(entry.path for entry in entries), README])
    except Invalid:
        return False
    return True


def require_distinct(paths: Iterable[str]) -> None:
    """Refuse names that not every system can have side by side.

    Raises:
        Invalid: two differ only in upper and lower case, or one is a folder of another.
    """
    keys = sorted(path.casefold() for path in paths)
    if len(set(keys)) != len(keys):
        raise Invalid(
            _("Two files differ only in upper and lower case; not every system has both.")
        )
    files = set(keys)
    for key in keys:
        folder = next((one for one in _folders(key) if one in files), None)
        if folder is not None:
            text = _("“%(path)s” cannot be a file and a folder at once.")
            raise Invalid(text % {"path": folder})


def _folders(path: str) -> Iterator[str]:
    """Yield every folder that a path is in."""
    while path := path.rpartition("/")[0]:
        yield path
