"""Parts of an upload: through the hub, or directly to the bucket.

A part has a row once its bytes are stored. A part sent through the hub gets it immediately. A part
that goes directly to the bucket gets it when the bucket lists it with the right length; a client's
claim is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lorary.anatomy import Finding
from registry import locks, storage
from registry.errors import Invalid, SizeMismatch, StateConflict, UploadIncomplete
from registry.models import Upload, UploadPart, User
from registry.uploads import receive
from registry.uploads.receive import Readable

#: Maximum number of parts of an upload in S3 and here; longer files have longer parts.
MOST_PARTS = 10_000
#: Maximum number of links per request.
LINKS_AT_ONCE = 1000
MIB = 2**20


def part_size(size_bytes: int, wanted: int) -> int:
    """Return the wanted length of parts, or a greater one if there would be too many parts."""
    least = -(-size_bytes // MOST_PARTS)
    return wanted if wanted >= least else -(-least // MIB) * MIB


def part_of(upload: Upload, number: int) -> storage.Part:
    """Return the position and the required length of a part.

    Raises:
        Invalid: the part does not exist.
    """
    if not 1 <= number <= upload.part_count:
        raise Invalid(_("Parts are numbered 1 to %(n)d.") % {"n": upload.part_count})
    offset = (number - 1) * upload.part_bytes
    return storage.Part(number, offset, min(upload.part_bytes, upload.size_bytes - offset))


def parts_of(upload: Upload) -> list[storage.Part]:
    """Return every part of the file, with the tags of the stored ones."""
    tags = dict(upload.parts.values_list("number", "tag"))
    parts = (part_of(upload, number) for number in range(1, upload.part_count + 1))
    return [
        storage.Part(part.number, part.offset, part.size, tags.get(part.number, ""))
        for part in parts
    ]


def open_for_parts(upload: Upload) -> None:
    """Open an upload's key in the store, before anything else uses the key.

    Raises:
        StorageAway: the store cannot be reached.
    """
    storage.store().link(upload.storage_key, part_of(upload, 1))


def receive_part(
    *, actor: User, upload: Upload, number: int, stream: Readable, sha256: str | None = None
) -> UploadPart:
    """Store one part; parts may come in any order and repeatedly.

    A stored part is replaced only by a complete one, as an abandoned request may still be running
    after the next one was answered.

    Args:
        upload: An open upload of the actor.
        number: Number of the part, from 1.
        stream: Its bytes.
        sha256: Digest of this part, if the sender knows it.

    Raises:
        Invalid: no such part.
        SizeMismatch: the part has the wrong length.
        DigestMismatch: the part is damaged; it counts as missing.
        StateConflict: the upload is not open, or ended while the bytes arrived.
    """
    receive.require_own(actor, upload)
    part = part_of(upload, number)
    body = receive.Body(stream, part.size, declared=receive.digest_of(sha256))
    with locks.holding(upload.storage_key, is_shared=True):
        receive.require_still_open(upload)
        with receive.writing(upload):
            return _received(upload, part, body)


def _received(upload: Upload, part: storage.Part, body: receive.Body) -> UploadPart:
    with ExitStack() as kept:
        before, chunks = upload.parts.filter(number=part.number).first(), iter(body)
        if before is not None:
            whole = kept.enter_context(storage.spooled(body))
            if before.sha256 == body.sha256:
                return before
            chunks = storage.chunks_of(whole.file)
            upload.parts.filter(pk=before.pk, sha256=before.sha256, tag=before.tag).delete()
        try:
            tag = storage.store().write(upload.storage_key, chunks, part=part)
        except FileExistsError as error:
            raise record_joined(upload, before) from error
        return record(upload, part, tag=tag, sha256=body.sha256)


def record_joined(upload: Upload, before: UploadPart | None) -> StateConflict:
    """Record every part of an upload whose parts are joined already; return the refusal.

    Args:
        before: The row that was deleted for a new part, which the key did not accept.
    """
    if before is not None:
        part = part_of(upload, before.number)
        record(upload, part, tag=before.tag, sha256=before.sha256)
    for part in parts_of(upload):
        UploadPart.objects.get_or_create(
            upload=upload, number=part.number, defaults={"size_bytes": part.size}
        )
    return _already_joined(upload)


def record(upload: Upload, part: storage.Part, *, tag: str, sha256: str) -> UploadPart:
    """Write the row of a stored part."""
    facts = {"size_bytes": part.size, "sha256": sha256, "tag": tag}
    row = UploadPart(upload=upload, number=part.number, **facts)
    UploadPart.objects.bulk_create(  # one statement, as many parts arrive per second
        [row],
        update_conflicts=True,
        unique_fields=["upload", "number"],
        update_fields=[*facts, "created_at"],
    )
    return row


def links(*, actor: User, upload: Upload, numbers: Sequence[int]) -> dict[int, str]:
    """Return number → URL to PUT that part to, empty if parts go through the hub.

    A URL accepts only as many bytes as its part has.

    Raises:
        Invalid: no such part, or too many at once.
        StateConflict: the upload is not open.
        StorageAway: the bucket cannot be reached.
    """
    receive.require_open(actor, upload)
    if len(numbers) > LINKS_AT_ONCE:
        raise Invalid(_("Request at most %(n)d links at once.") % {"n": LINKS_AT_ONCE})
    wanted = [part_of(upload, number) for number in dict.fromkeys(numbers)]
    try:
        found = {part.number: storage.store().link(upload.storage_key, part) for part in wanted}
    except FileExistsError as error:
        raise _already_joined(upload) from error
    return {number: link for number, link in found.items() if link is not None}


def record_sent(*, actor: User, upload: Upload) -> None:
    """Record the parts that were sent directly to the bucket.

    Raises:
        StateConflict: the upload is not open.
        StorageAway: the bucket cannot be reached.
    """
    receive.require_open(actor, upload)
    with locks.holding(upload.storage_key, is_shared=True):
        receive.require_still_open(upload)
        record_listed(upload)


def record_listed(upload: Upload) -> list[storage.Entry]:
    """Record the parts that the bucket lists with the right length, and return those too long.

    The caller holds the lock.
    """
    if not storage.has_links():
        return []
    known = dict(upload.parts.values_list("number", "tag"))
    newest: dict[int, storage.Entry] = {}

    def rank(entry: storage.Entry) -> tuple[float, bool]:
        """Prefer the latest; within the same second, the recorded one."""
        return entry.changed, entry.tag == known.get(entry.number)

    for entry in storage.store().names(
        upload.storage_key
    ):  # a part that was sent twice may be listed twice
        if 1 <= entry.number <= upload.part_count:
            rival = newest.get(entry.number)
            if rival is None or rank(entry) >= rank(rival):
                newest[entry.number] = entry
    long = []
    for number, entry in newest.items():
        part = part_of(upload, number)
        if entry.tag == known.get(number):
            continue  # already recorded
        if entry.size == part.size:
            _record_listed(upload, part, entry.tag, before=known.get(number))
        elif entry.size > part.size:
            long.append(entry)
    return long


def _record_listed(upload: Upload, part: storage.Part, tag: str, *, before: str | None) -> None:
    """Record a listed part, unless another one arrived through the hub during the listing.

    Args:
        before: Tag of the row before the listing; None without a row.
    """
    facts = {"size_bytes": part.size, "sha256": "", "tag": tag}
    if before is None:
        UploadPart.objects.get_or_create(upload=upload, number=part.number, defaults=facts)
    else:
        upload.parts.filter(number=part.number, tag=before).update(**facts)


def require_short(upload: Upload) -> None:
    """Record the parts in the bucket, and refuse an upload with a part that is too long.

    Raises:
        SizeMismatch: a part is too long.
    """
    for entry in record_listed(upload):
        part = part_of(upload, entry.number)
        text = _("Part %(n)d has %(got)d bytes instead of %(expected)d.")
        facts = {"n": part.number, "got": entry.size, "expected": part.size}
        raise SizeMismatch(text % facts, expected=part.size, received=entry.size)


def too_long(refusal: SizeMismatch) -> Finding:
    """Return the finding for a part with too many bytes."""
    return Finding("part_too_long", "error", str(refusal.detail), dict(refusal.facts))


def require_all(upload: Upload) -> None:
    """Require that every part is recorded.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the first missing numbers.
    """
    if missing := missing_in(upload):
        raise incomplete(upload, missing)


def missing_in(upload: Upload) -> list[int]:
    """Return the numbers of the parts that are not recorded."""
    here = set(upload.parts.values_list("number", flat=True))
    return sorted(set(range(1, upload.part_count + 1)) - here)


def incomplete(upload: Upload, missing: Iterable[int]) -> UploadIncomplete:
    """Return the refusal for missing parts."""
    numbers = list(missing)
    text = ngettext(
        "%(n)d of %(all)d parts is missing.", "%(n)d of %(all)d parts are missing.", len(numbers)
    )
    detail = text % {"n": len(numbers), "all": upload.part_count}
    return UploadIncomplete(detail, missing=numbers[:1000])


def _already_joined(upload: Upload) -> StateConflict:
    text = _("All parts of this upload were received and joined. Complete it.")
    return StateConflict(text, state=upload.state)
