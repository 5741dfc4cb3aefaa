"""Parts of an upload: through the hub, or straight to the bucket.

A row of a part says that its bytes are safe. One that came through the hub was written before its
row. One that went straight to the bucket is written down after the bucket listed it, with the
length that the bucket says; nobody's word counts for it.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from lorary.anatomy import Finding
from registry import locks, storage
from registry.errors import Invalid, SizeMismatch, StateConflict, UploadIncomplete
from registry.models import UploadPart
from registry.uploads import endings, receive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import Upload, User
    from registry.uploads.receive import Readable

#: What S3 and this hub keep of one upload; longer files have longer parts.
MOST_PARTS = 10_000
#: Links handed out by one request.
LINKS_AT_ONCE = 1000
MIB = 2**20


def part_size(size_bytes: int, wanted: int) -> int:
    """Return the length of parts: the wanted one, or what keeps their number within limits."""
    least = -(-size_bytes // MOST_PARTS)
    return wanted if wanted >= least else -(-least // MIB) * MIB


def part_of(upload: Upload, number: int) -> storage.Part:
    """Return where a part lies in its file and how many bytes it must have.

    Raises:
        Invalid: there is no such part.
    """
    if not 1 <= number <= upload.part_count:
        raise Invalid(_("Parts are numbered 1 to %(n)d.") % {"n": upload.part_count})
    offset = (number - 1) * upload.part_bytes
    return storage.Part(number, offset, min(upload.part_bytes, upload.size_bytes - offset))


def parts_of(upload: Upload) -> list[storage.Part]:
    """Return every part of the file, with the tags of those that are here."""
    tags = dict(upload.parts.values_list("number", "tag"))
    parts = (part_of(upload, number) for number in range(1, upload.part_count + 1))
    return [
        storage.Part(part.number, part.offset, part.size, tags.get(part.number, ""))
        for part in parts
    ]


def open_for_parts(upload: Upload) -> None:
    """Open an upload's key at the store before anybody else knows it, so that it is done once.

    Raises:
        StorageAway: the store cannot be reached.
    """
    storage.store().link(upload.storage_key, part_of(upload, 1))


def receive_part(
    *, actor: User, upload: Upload, number: int, stream: Readable, sha256: str | None = None
) -> UploadPart:
    """Take one part (from 1 on), in any order, as often as wanted.

    One that is here stays until all of another has come: a request that its sender gave up may be
    read after the next one was answered, and takes nothing back.

    Args:
        actor: Who uploads.
        upload: Of the actor, still open.
        number: Which part.
        stream: Its bytes.
        sha256: Digest of this part, when the sender knows it.

    Raises:
        Invalid: no such part.
        SizeMismatch: the part has not exactly the bytes it must have.
        DigestMismatch: the part is damaged; it counts as missing.
        StateConflict: the upload takes no more bytes, or was ended while they came.
    """
    receive.require_own(actor, upload)
    part = part_of(upload, number)
    body = receive.Body(stream, part.size, declared=receive.digest_of(sha256))
    with locks.holding(upload.storage_key, is_shared=True):
        receive.require_still_open(upload)
        with endings.writing(upload):
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
            raise sealed(upload, before) from error
        return note(upload, part, tag=tag, sha256=body.sha256)


def sealed(upload: Upload, before: UploadPart | None) -> StateConflict:
    """Write down again that every part is here, as it was when they were joined.

    Args:
        upload: Whose key takes no more.
        before: The row that was removed for bytes that it did not take.

    Returns:
        The refusal of those bytes.
    """
    if before is not None:
        part = part_of(upload, before.number)
        note(upload, part, tag=before.tag, sha256=before.sha256)
    for part in parts_of(upload):
        UploadPart.objects.get_or_create(
            upload=upload, number=part.number, defaults={"size_bytes": part.size}
        )
    return _sealed(upload)


def note(upload: Upload, part: storage.Part, *, tag: str, sha256: str) -> UploadPart:
    """Write down that a part is safe."""
    facts = {"size_bytes": part.size, "sha256": sha256, "tag": tag}
    row = UploadPart(upload=upload, number=part.number, **facts)
    UploadPart.objects.bulk_create(  # one statement, of many parts a second
        [row],
        update_conflicts=True,
        unique_fields=["upload", "number"],
        update_fields=[*facts, "created_at"],
    )
    return row


def links(*, actor: User, upload: Upload, numbers: Sequence[int]) -> dict[int, str]:
    """Return number → address to PUT that part to, for parts that go straight to the bucket.

    An address takes exactly the bytes that its part has; {} where parts go through the hub.

    Raises:
        Invalid: no such part, or too many at once.
        StateConflict: the upload takes no more bytes.
        StorageAway: the bucket cannot be reached.
    """
    receive.require_open(actor, upload)
    if len(numbers) > LINKS_AT_ONCE:
        raise Invalid(_("Ask for at most %(n)d links at once.") % {"n": LINKS_AT_ONCE})
    wanted = [part_of(upload, number) for number in dict.fromkeys(numbers)]
    try:
        found = {part.number: storage.store().link(upload.storage_key, part) for part in wanted}
    except FileExistsError as error:
        raise _sealed(upload) from error
    return {number: link for number, link in found.items() if link is not None}


def look(*, actor: User, upload: Upload) -> None:
    """Write down which parts went straight to the bucket.

    Raises:
        StateConflict: the upload takes no more bytes.
        StorageAway: the bucket cannot be reached.
    """
    receive.require_open(actor, upload)
    with locks.holding(upload.storage_key, is_shared=True):
        receive.require_still_open(upload)
        _write_down(upload)


def renew(upload: Upload) -> None:
    """Have the rows say what the bucket has by now; the caller holds the lock."""
    _write_down(upload)


def _write_down(upload: Upload) -> list[storage.Entry]:
    """Write down what the bucket lists in the right length, and return what is too long."""
    if not storage.has_links():
        return []
    known = dict(upload.parts.values_list("number", "tag"))
    newest: dict[int, storage.Entry] = {}

    def rank(entry: storage.Entry) -> tuple[float, bool]:
        """Later counts; of one second, what is written down."""
        return entry.changed, entry.tag == known.get(entry.number)

    for entry in storage.store().names(upload.storage_key):  # what was sent twice may come twice
        if 1 <= entry.number <= upload.part_count:
            rival = newest.get(entry.number)
            if rival is None or rank(entry) >= rank(rival):
                newest[entry.number] = entry
    long = []
    for number, entry in newest.items():
        part = part_of(upload, number)
        if entry.tag == known.get(number):
            continue  # as it was written down
        if entry.size == part.size:
            _note_listed(upload, part, entry.tag, before=known.get(number))
        elif entry.size > part.size:
            long.append(entry)
    return long


def _note_listed(upload: Upload, part: storage.Part, tag: str, *, before: str | None) -> None:
    """Write down a part as listed, unless one came through the hub while the bucket was listing.

    Args:
        upload: Whose part.
        part: Which.
        tag: Of what the bucket listed.
        before: Tag of the row before the listing, None where there was no row.
    """
    facts = {"size_bytes": part.size, "sha256": "", "tag": tag}
    if before is None:
        UploadPart.objects.get_or_create(upload=upload, number=part.number, defaults=facts)
    else:
        upload.parts.filter(number=part.number, tag=before).update(**facts)


def require_short(upload: Upload) -> None:
    """Write down what went to the bucket; refuse parts with more bytes than they may have.

    Raises:
        SizeMismatch: there is one.
    """
    for entry in _write_down(upload):
        part = part_of(upload, entry.number)
        text = _("Part %(n)d has %(got)d bytes; it may have %(expected)d.")
        facts = {"n": part.number, "got": entry.size, "expected": part.size}
        raise SizeMismatch(text % facts, expected=part.size, received=entry.size)


def too_long(refusal: SizeMismatch) -> Finding:
    """Return the finding for a part with too many bytes."""
    return Finding("part_too_long", "error", str(refusal.detail), dict(refusal.facts))


def require_all(upload: Upload) -> None:
    """Make sure that every part is written down.

    Raises:
        UploadIncomplete: ``facts["missing"]`` lists the numbers of the first that are not.
    """
    here = set(upload.parts.values_list("number", flat=True))
    missing = sorted(set(range(1, upload.part_count + 1)) - here)
    if missing:
        raise incomplete(upload, missing)


def incomplete(upload: Upload, missing: Iterable[int]) -> UploadIncomplete:
    """Return the refusal for parts that are not here."""
    numbers = list(missing)
    text = _("%(n)d of %(all)d parts are missing.")
    said = text % {"n": len(numbers), "all": upload.part_count}
    return UploadIncomplete(said, missing=numbers[:1000])


def _sealed(upload: Upload) -> StateConflict:
    text = _("All parts of this upload are here and joined. Complete it.")
    return StateConflict(text, state=upload.state)
