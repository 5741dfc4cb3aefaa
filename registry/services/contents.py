"""What a new version holds: accepted uploads, and what is kept of the files before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.errors import Invalid, UploadNotReady, UploadRefused
from registry.models import FileRole, UploadState
from registry.selectors import blobs
from registry.services import manifests
from registry.services.manifests import Entry
from registry.services.variants import HIGH, LOW, variants_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import Revision, Upload, User

__all__ = ["MAX_FILES", "given", "with_kept"]

MAX_FILES = 64


def given(user: User, uploads: Sequence[Upload], family: str) -> list[Entry]:
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
    weights = [upload for upload in uploads if _role(upload.path) == FileRole.WEIGHTS]
    if not weights:
        raise Invalid(_("A version needs a .safetensors file."))
    variants = variants_of(
        {upload.path: blobs.document_of(upload.blob) for upload in weights}, family
    )
    primary = _primary(weights, variants)
    return [
        Entry(
            upload.path,
            upload.blob,
            _role(upload.path),
            is_primary=upload is primary,
            variant=variants.get(upload.path, ""),
        )
        for upload in uploads
        if upload.blob is not None
    ]


def _primary(weights: Sequence[Upload], variants: Mapping[str, str]) -> Upload:
    """Return the largest weights file; of a pair, the half that is used first."""
    is_pair = {HIGH, LOW} <= set(variants.values())
    return max(
        weights,
        key=lambda upload: (
            is_pair and variants.get(upload.path) == HIGH,
            upload.size_bytes,
            upload.path,
        ),
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
    "toml": FileRole.TRAINING,
    "yaml": FileRole.TRAINING,
    "yml": FileRole.TRAINING,
}


def _role(path: str) -> str:
    return _ROLES.get(path.rpartition(".")[2].casefold(), FileRole.OTHER)


def with_kept(entries: list[Entry], parent: Revision) -> list[Entry]:
    """Return lines with those files of the revision before that are no weights, nor given anew.

    What went with a withdrawn version is left behind.

    Raises:
        Invalid: two names differ only in upper and lower case.
    """
    paths, withheld = {entry.path for entry in entries}, blobs.withheld_in(parent.adapter)
    kept = [
        entry
        for entry in manifests.entries_of(parent)
        if entry.role != FileRole.WEIGHTS
        and entry.path not in paths
        and entry.blob.pk not in withheld
    ]
    listed = entries + kept
    if len({entry.path.casefold() for entry in listed}) != len(listed):
        raise Invalid(
            _("Two files differ only in upper and lower case; not every system has both.")
        )
    return listed
