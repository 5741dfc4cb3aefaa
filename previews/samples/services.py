"""Creates and updates samples: adding, reading in a worker, showing or refusing.

```
add ──▶ QUEUED, the original is stored ──▶ read ──▶ READY, a re-encoded file is stored
                                             └────▶ REFUSED, with a reason
```

The original is never served, and deleted once it is read. Each update requires the state it starts
from, so that reading can be repeated at any point.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from lorary.anatomy.claims.metadata import clean, public_name
from previews import local_weights
from previews.lineages import services as lineages
from previews.models import Sample, SampleKind, SampleState
from previews.pictures.services import checked_rating
from previews.sample_files import sandbox
from previews.sample_files.formats import (
    HEAD_BYTES,
    MAX_FILM_BYTES,
    MAX_PICTURE_BYTES,
    Refused,
    sniff,
)
from previews.sample_files.sandbox import Reading
from previews.samples import messages
from previews.samples.selectors import digests_of
from registry import events, storage
from registry.accounts import permissions, quotas
from registry.blobs import promote
from registry.database.row_locks import locked
from registry.errors import Invalid, QuotaExceeded, StateConflict, TooLarge, UploadRefused
from registry.jobs import queue
from registry.models import Adapter, Event, Namespace, User, Version, VersionState
from registry.storage import Written
from registry.uploads.receive import Readable
from registry.uploads.services import CHECKS_QUEUE

READ_TASK = "read_sample"

MAX_CAPTION, MAX_NAME = 280, 120
#: Maximum number of samples of a version.
MAX_OF_VERSION = 50
#: Days after which refused samples are deleted.
REFUSED_DAYS = 7
#: Seconds after which a temporary folder is no longer in use.
UNUSED_S = 3600

_FOLDER = "sample-"
#: Verb of the event by which additions are counted.
ADDED = "sample_added"


def add(
    *,
    actor: User,
    version: Version,
    stream: Readable,
    name: str = "",
    caption: str = "",
    maturity: str = "",
) -> Sample:
    """Store a picture or short video for a version and queue it to be read.

    ``name`` is the file name, shown if it is refused. ``maturity`` is its content rating, empty
    if that of the adapter applies.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
        StateConflict: the version was withdrawn.
        QuotaExceeded: too many samples for the version or the day, or the namespace is full.
        UploadRefused: the first bytes are of another format.
        TooLarge: the file is too large.
        Invalid: the caption is too long, or the rating does not exist.
    """
    user = permissions.require_adapter(actor, version.adapter)
    if version.state == VersionState.WITHDRAWN:
        raise StateConflict(_("This version was withdrawn."), state=version.state)
    details = {"name": name, "caption": _caption(caption), "maturity": checked_rating(maturity)}
    _require_room(user, version)
    key = storage.new_key()
    try:
        measured = storage.Measured(_checked(stream))
        storage.store().write(key, measured)
        _require_bytes(version, measured.written)
        return _stored_sample(user, version, measured.written, key, details)
    finally:
        storage.discard(key)


def _caption(text: str) -> str:
    bare = clean(text, MAX_CAPTION + 1)
    if len(bare) > MAX_CAPTION:
        sentence = _("A caption can have at most %(limit)d characters.") % {"limit": MAX_CAPTION}
        raise Invalid(sentence, fields={"caption": [sentence]})
    return bare


def _require_room(user: User, version: Version) -> None:
    """Raise ``QuotaExceeded`` if the version, or the user today, has too many samples.

    Refused samples do not count for the version; deleted ones count for the day.
    """
    week = timezone.now() - timedelta(days=REFUSED_DAYS)
    version.samples.filter(state=SampleState.REFUSED, created_at__lt=week).delete()
    if version.samples.exclude(state=SampleState.REFUSED).count() >= MAX_OF_VERSION:
        sentence = _("A version can have at most %(limit)d pictures and videos. Remove one first.")
        raise QuotaExceeded(sentence % {"limit": MAX_OF_VERSION}, limit=MAX_OF_VERSION)
    day, limit = timezone.now() - timedelta(days=1), settings.LORARY.samples_per_day
    if Event.objects.filter(actor=user, verb=ADDED, created_at__gt=day).count() >= limit:
        sentence = _("You have added %(limit)d pictures and videos today. Try again tomorrow.")
        raise QuotaExceeded(sentence % {"limit": limit}, limit=limit)


def _require_bytes(version: Version, written: Written) -> None:
    """Raise ``QuotaExceeded`` if the adapter's namespace has no room."""
    with transaction.atomic():
        namespace = locked(Namespace.objects.all()).get(pk=version.adapter.namespace_id)
        quotas.require_room_to_send(namespace=namespace, size_bytes=written.size)


def _checked(stream: Readable) -> Iterator[bytes]:
    """Yield the bytes of a stream."""
    head = b""
    while len(head) < HEAD_BYTES and (chunk := stream.read(storage.CHUNK)):
        head += chunk
    try:
        limit = MAX_FILM_BYTES if sniff(head[:HEAD_BYTES]).is_film else MAX_PICTURE_BYTES
    except Refused as refusal:
        raise UploadRefused(messages.reason(refusal), why=refusal.why) from refusal
    size, chunk = 0, head
    while chunk:
        size += len(chunk)
        if size > limit:
            sentence = _("The file is larger than %(n)d MiB. Use a smaller one.")
            raise TooLarge(sentence % {"n": limit // 2**20}, limit=limit)
        yield chunk
        chunk = stream.read(storage.CHUNK)


def _stored_sample(
    user: User, version: Version, written: Written, key: str, details: dict[str, str]
) -> Sample:
    """Move the bytes to their digest, then write the row."""
    promote.move_to_digest(key=key, written=written)
    with transaction.atomic():
        # Concurrent requests wait here, and a publication, which also locks the adapter first.
        locked(Adapter.objects.all()).get(pk=version.adapter_id)
        _require_bytes(version, written)
        locked(User.objects.all()).get(pk=user.pk)
        _require_room(user, Version.objects.get(pk=version.pk))
        sample = Sample.objects.create(
            version=version,
            author=user,
            source=promote.mark_stored(written),
            caption=details["caption"],
            maturity=details["maturity"],
            facts={"name": public_name(details["name"], MAX_NAME)},
        )
        sample.job = queue.enqueue(
            queue=CHECKS_QUEUE,
            task=READ_TASK,
            args={"sample_id": sample.pk},
            key=_key(sample),
            owner=user.username,
        )
        sample.save(update_fields=["job"])
        _record(user, ADDED, sample)
    return sample


def _key(sample: Sample) -> str:
    return f"{READ_TASK}:{sample.pk}"


def _record(user: User, verb: str, sample: Sample) -> None:
    version = sample.version
    events.record(
        actor=user, verb=verb, about=version.adapter, subject=version.name, sample=sample.pk
    )


def read(*, sample: Sample) -> None:
    """Read a queued sample in a sandbox, then show or refuse it; safe to run again at any point.

    Raises:
        Interrupted: the reader was stopped; try again.
    """
    if sample.state != SampleState.QUEUED or sample.source is None:
        return
    with tempfile.TemporaryDirectory(dir=settings.LORARY.data, prefix=_FOLDER) as folder:
        try:
            with local_weights.local(sample.source.sha256) as source:
                reading = sandbox.read(source, Path(folder))
        except Refused as refusal:
            refuse(sample=sample, reason=messages.reason(refusal))
        except FileNotFoundError:
            refuse(sample=sample, reason=messages.cannot_be_read())
        else:
            _show(sample, reading)


def _show(sample: Sample, reading: Reading) -> None:
    """Store the files to serve, then update the row; the sweeper deletes files without a row."""
    picture = _stored(reading.picture)
    film = _stored(reading.film) if reading.film else None
    facts = _matched(reading.facts)
    with transaction.atomic():
        still = promote.mark_stored(picture)
        _queued(sample).update(
            state=SampleState.READY,
            kind=SampleKind.VIDEO if film else SampleKind.PICTURE,
            blob=promote.mark_stored(film) if film else still,
            poster=still if film else None,
            width=reading.width,
            height=reading.height,
            placeholder=reading.placeholder,
            facts=facts,
            source=None,
        )


def _queued(sample: Sample) -> Any:  # noqa: ANN401 - a queryset, which django-stubs types oddly
    return Sample.objects.filter(pk=sample.pk, state=SampleState.QUEUED)


def _stored(file: Path) -> Written:
    with file.open("rb") as handle:
        return promote.put(storage.chunks_of(handle))


def _matched(facts: dict[str, Any]) -> dict[str, Any]:
    """Add to each resource the digest of the stored file that its hashes name."""
    resources = facts.get("resources", [])
    known = digests_of(text for item in resources for text in item["hashes"]) if resources else {}
    for item in resources:
        found = {known[text] for text in item["hashes"] if text in known}
        if len(found) == 1:
            item["sha256"] = found.pop()
    return facts


def delete_leftovers() -> int:
    """Delete temporary folders of workers that were killed; return how many."""
    oldest = time.time() - UNUSED_S
    left = [place for place in settings.LORARY.data.glob(f"{_FOLDER}*")
            if place.stat().st_mtime < oldest]  # fmt: skip
    for place in left:
        shutil.rmtree(place, ignore_errors=True)
    return len(left)


def refuse(*, sample: Sample, reason: str) -> None:
    """Mark a queued sample as refused."""
    _queued(sample).update(state=SampleState.REFUSED, reason=reason, source=None)


def delete_all(*, version: Version) -> None:
    """Delete all samples of a version; the sweeper deletes their bytes."""
    for sample in version.samples.all():
        queue.cancel(_key(sample))
    version.samples.all().delete()


def edit(
    *, actor: User, sample: Sample, caption: str | None = None, maturity: str | None = None
) -> Sample:
    """Change the caption or the content rating of a sample; None means no change.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
        Invalid: the caption is too long, or the rating does not exist.
    """
    user = permissions.require_adapter(actor, sample.version.adapter)
    if caption is not None:
        sample.caption = _caption(caption)
    if maturity is not None:
        sample.maturity = checked_rating(maturity)
    with transaction.atomic():
        sample.save(update_fields=["caption", "maturity"])
        _record(user, "sample_edited", sample)
    return sample


def remove(*, actor: User, sample: Sample) -> None:
    """Delete a sample; the sweeper deletes its bytes."""
    user = permissions.require_adapter(actor, sample.version.adapter)
    with transaction.atomic():
        queue.cancel(_key(sample))
        _record(user, "sample_removed", sample)
        sample.delete()
        lineages.renew(version=sample.version)
