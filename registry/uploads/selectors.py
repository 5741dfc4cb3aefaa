"""A user's own uploads, and stored bytes that the user can use without sending them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import Aggregate, Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.accounts.permissions import writable_by
from registry.blobs.selectors import keeping_files, kept_for_owner, shown_files
from registry.errors import NotFound
from registry.models import (
    Adapter,
    Blob,
    File,
    FileRole,
    Namespace,
    Upload,
    UploadPart,
    UploadState,
    User,
    Version,
    VersionState,
)

#: Maximum number of versions with one of the weights that ``published_as`` compares.
MOST_COMPARED = 20


def _own(user: User) -> QuerySet[Upload]:
    """Return a user's uploads; for a bound token only those that it created."""
    token, rows = user.access_token, Upload.objects.filter(owner=user)
    return rows.filter(token=token) if token is not None and token.is_bound else rows


def listing(user: User) -> QuerySet[Upload]:
    """Return the user's uploads, newest first."""
    rows = _own(user).select_related("blob", "blob__anatomy")
    return rows.prefetch_related("parts", "findings")


def overview(user: User, *, is_unfinished: bool = False) -> QuerySet[Upload]:
    """Return the user's uploads, newest first, with ``parts_here`` and ``arrived`` (bytes).

    The rows of parts are not read, because there may be thousands.

    Args:
        is_unfinished: Whether to return only uploads that are received or checked now.
    """
    rows = _own(user).select_related("blob").order_by("-pk")
    if is_unfinished:
        rows = rows.filter(state__in=[UploadState.RECEIVING, UploadState.CHECKING])
    counted = rows.annotate(parts_here=_of_parts(Count("pk")), arrived=_of_parts(Sum("size_bytes")))
    return counted.prefetch_related("findings")


def with_kept(rows: QuerySet[Upload]) -> QuerySet[Upload]:
    """Add ``is_kept``: whether ``kept_for_owner`` finds the file of the upload."""
    return rows.annotate(is_kept=Exists(kept_for_owner()))


def _of_parts(measure: Aggregate) -> Coalesce:
    """Return an aggregate of an upload's parts as a subquery, computed only for one page."""
    parts = UploadPart.objects.filter(upload=OuterRef("pk")).order_by().values("upload")
    return Coalesce(Subquery(parts.annotate(measure=measure).values("measure")), 0)


def resumable(user: User, path: str, size_bytes: int) -> QuerySet[Upload]:
    """Return uploads of a file of this path and size that can be continued, newest first."""
    rows = _own(user).filter(path=path, size_bytes=size_bytes).order_by("-pk")
    is_open = rows.filter(_is_receiving() | Q(state=UploadState.CHECKING))
    is_kept = rows.filter(state=UploadState.ACCEPTED, blob__is_stored=True)
    return is_open | is_kept


def waiting(user: User) -> QuerySet[Upload]:
    """Return uploads that can be continued or published: accepted ones that no version uses."""
    is_kept = Q(state=UploadState.ACCEPTED, blob__is_stored=True) & ~Exists(kept_for_owner())
    return _own(user).filter(_is_receiving() | is_kept)


def deposits(user: User, sha256: str) -> QuerySet[Upload]:
    """Return the user's open uploads of a digest, with or without a path."""
    rows = _own(user).filter(_is_receiving(), declared_sha256=sha256)
    return rows.order_by("-pk")


def _is_receiving() -> Q:
    """Return the condition for open uploads; those past their deadline wait for the sweeper."""
    return Q(state=UploadState.RECEIVING, expires_at__gt=timezone.now())


def checked_at(user: User, path: str, sha256: str) -> Upload | None:
    """Return the user's upload of these bytes under a path, if it is being checked or accepted.

    An accepted one comes first, because clients call again until the checks have ended.
    """
    rows = _own(user).filter(path=path).select_related("blob").order_by("-pk")
    kept = rows.filter(state=UploadState.ACCEPTED, sha256=sha256, blob__is_stored=True).first()
    return kept or rows.filter(_is_checking(sha256)).first()


def checking(user: User, sha256: str) -> Upload | None:
    """Return the user's upload of these bytes that is being checked, under any path."""
    return _own(user).filter(_is_checking(sha256)).order_by("-pk").first()


def _is_checking(sha256: str) -> Q:
    """Return the condition for uploads in the checks with this digest, declared or computed."""
    has_digest = Q(sha256=sha256) | Q(sha256="", declared_sha256=sha256)
    return Q(has_digest, state=UploadState.CHECKING)


def refused_at(user: User, path: str, sha256: str) -> Upload | None:
    """Return the user's newest upload of these bytes under a path, if it was refused."""
    rows = _own(user).filter(path=path, declared_sha256=sha256).order_by("-pk")
    newest = rows.first()
    return newest if newest is not None and newest.state == UploadState.REFUSED else None


def readable_by(user: User, sha256: str) -> Blob | None:
    """Return the stored blob of a digest if the user can download it.

    Knowing a digest is not enough: bytes of other users' private adapters must be sent to be used.
    The user's own accepted upload counts until ``retention`` expires it, whether or not others use
    the same bytes.
    """
    blob = Blob.objects.filter(sha256=sha256, is_stored=True).select_related("anatomy").first()
    if blob is None:
        return None
    own = listing(user).filter(blob=blob, state=UploadState.ACCEPTED)
    shown = shown_files().filter(
        Adapter.objects.open_to(user).among("revision__adapter"), blob=blob
    )
    return blob if own.exists() or shown.exists() else None


def holding(user: User, uploads: Iterable[Upload]) -> dict[int, Version]:
    """Return upload id → the user's version that uses its bytes; one query.

    It is the first version since the upload was created, or the first of all, for files that were
    published before and sent again.
    """
    sent = [upload for upload in uploads if upload.blob_id is not None]
    rows = _own_versions(user).filter(revision__files__blob__in={one.blob_id for one in sent})
    rows = rows.select_related("adapter", "adapter__namespace").order_by("pk")
    found: dict[int, list[Version]] = {}
    for row in rows.annotate(found=F("revision__files__blob")):
        found.setdefault(row.found, []).append(row)
    return {one.pk: _first_since(one, found[one.blob_id]) for one in sent if one.blob_id in found}


def holders(user: User, uploads: Sequence[Upload]) -> tuple[dict[int, Version], dict[int, Adapter]]:
    """Return upload id → version (see ``holding``), and of others → adapter (``committed_to``)."""
    if all(one.blob_id is None for one in uploads):
        return {}, {}  # clients poll while an upload is checked; the queries take 14 CPU ms
    versions = holding(user, uploads)
    return versions, committed_to(user, (one for one in uploads if one.pk not in versions))


def committed_to(user: User, uploads: Iterable[Upload]) -> dict[int, Adapter]:
    """Return upload id → the user's adapter that uses its bytes, with or without a version.

    A revision without a version has, for example, an edited README.md. The newest one counts; one
    query, with a row for each upload, however many revisions have its file.
    """
    sent = [upload for upload in uploads if upload.blob_id is not None]
    is_own = Q(revision__adapter__namespace__in=writable_by(user))
    seen = Adapter.objects.visible_to(user).among("revision__adapter")
    kept = keeping_files().filter(is_own, seen, blob__in={one.blob_id for one in sent})
    newest = kept.order_by().values("blob").annotate(newest=Max("pk")).values("newest")
    rows = File.objects.filter(pk__in=newest).select_related("revision__adapter__namespace")
    found = {row.blob_id: row.revision.adapter for row in rows}
    return {one.pk: found[one.blob_id] for one in sent if one.blob_id in found}


def published_as(user: User, namespace: Namespace, uploads: Sequence[Upload]) -> Version | None:
    """Return the version in a namespace that has the weights of uploads and their other files.

    Paths are not compared. None without weights, or if no public version has exactly them. Two
    queries, however many versions are compared.
    """
    if any(one.blob_id is None for one in uploads):
        return None
    sent = {one.blob_id for one in uploads}
    weights = {one.blob_id for one in uploads if hasattr(one.blob, "anatomy")}
    rows = Version.objects.filter(
        Adapter.objects.visible_to(user).among("adapter"),
        adapter__namespace=namespace,
        state__in=[VersionState.PUBLISHED, VersionState.YANKED],
        revision__files__blob__in=weights,
    )
    rows = rows.select_related("adapter__namespace", "revision").order_by("pk").distinct()
    for row in rows.prefetch_related("revision__files")[:MOST_COMPARED]:
        files = row.revision.files.all()
        own = {file.blob_id for file in files if file.role == FileRole.WEIGHTS}
        if own == weights and sent <= {file.blob_id for file in files}:
            return row
    return None


def _own_versions(user: User) -> QuerySet[Version]:
    """Return versions that the user may publish, and visible ones that they published elsewhere."""
    is_own = Q(adapter__namespace__in=writable_by(user))
    is_out = Q(author=user) & ~Q(state=VersionState.DRAFT)
    seen = Adapter.objects.visible_to(user).among("adapter")
    return Version.objects.filter(is_own | is_out, seen)


def _first_since(upload: Upload, versions: list[Version]) -> Version:
    since = (row for row in versions if row.created_at >= upload.created_at)
    return next(since, versions[0])


def get(user: User, public_id: str | UUID) -> Upload:
    """Return one of the user's uploads.

    Raises:
        NotFound: no such upload, or another user's.
    """
    return many(user, [public_id])[0]


def without_parts(user: User, public_id: str | UUID) -> Upload:
    """Return one of the user's uploads without reading its parts; there may be thousands.

    Raises:
        NotFound: it does not exist or is another user's.
    """
    try:
        return _own(user).get(public_id=UUID(str(public_id)))
    except (ValueError, Upload.DoesNotExist) as error:
        raise _absent() from error


def many(user: User, public_ids: list[str | UUID] | list[str]) -> list[Upload]:
    """Return uploads of the user in the order of their ids.

    Raises:
        NotFound: one of them does not exist or is another user's.
    """
    try:
        ids = [UUID(str(value)) for value in public_ids]
    except ValueError as error:
        raise _absent() from error
    found = {upload.public_id: upload for upload in listing(user).filter(public_id__in=ids)}
    if missing := [value for value in ids if value not in found]:
        raise _absent(missing=[str(value) for value in missing])
    return [found[value] for value in ids]


def _absent(**facts: list[str]) -> NotFound:
    return NotFound(_("You have no such upload."), **facts)
