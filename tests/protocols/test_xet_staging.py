"""Xorbs between their arrival and their shard."""

from __future__ import annotations

import errno
import io
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from hub.protocols.huggingface.xet import staging
from hub.protocols.huggingface.xet.shards import Segment
from hub.protocols.huggingface.xet.staging import Session, Stored
from hub.protocols.huggingface.xet.xorbs import XorbInvalid
from registry import storage, sweep
from registry.blobs import promote
from registry.errors import Conflict, Invalid, QuotaExceeded, SizeMismatch, StorageFull
from registry.models import XetXorb
from registry.storage import local
from tests.builders.xet import chunk, name_of, xorb

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

pytestmark = pytest.mark.django_db

CHUNKS = [b"noir" * 50, b"blanc", b"gris" * 9]


@pytest.fixture
def session() -> Session:
    return Session(7, 12, "ab" * 16)


def kept(session: Session, data: bytes, name: str = "") -> str:
    name = name or name_of(data)
    staging.keep(session, name, io.BytesIO(data), len(data))
    return name


def read(session: Session, *segments: tuple[str, int, int, int]) -> bytes:
    with Stored(session) as stored:
        return b"".join(part for one in segments for part in stored.chunks(Segment(*one)))


def lying() -> list[str]:
    """Return the keys under which bytes lie, which are those of the rows."""
    keys = sorted(entry.name for entry in storage.store().names())
    assert keys == sorted(XetXorb.objects.values_list("key", flat=True))
    return keys


def test_any_range_of_chunks_is_read_back(session: Session) -> None:
    name = kept(session, xorb(*CHUNKS))
    for start in range(3):
        for end in range(start + 1, 4):
            wanted = b"".join(CHUNKS[start:end])
            assert read(session, (name, len(wanted), start, end)) == wanted


def test_a_footer_of_a_xorb_does_not_matter(session: Session) -> None:
    name = kept(session, xorb(*CHUNKS) + b"XETBLOB" + bytes(99))
    assert read(session, (name, 5, 1, 2)) == b"blanc"


def test_more_xorbs_than_may_be_open_are_read_in_any_order(session: Session) -> None:
    chance = random.Random(6)
    pieces = [chance.randbytes(chance.randint(1, 400)) for _ in range(3 * staging.OPEN_XORBS)]
    names = [kept(session, xorb(piece)) for piece in pieces]
    order = [chance.randrange(len(pieces)) for _ in range(300)]
    found = read(session, *((names[one], len(pieces[one]), 0, 1) for one in order))
    assert found == b"".join(pieces[one] for one in order)


def test_a_xorb_that_comes_again_replaces_the_first(session: Session) -> None:
    data = xorb(b"noir")
    assert staging.keep(session, name_of(data), io.BytesIO(data), len(data))
    assert not staging.keep(session, name_of(data), io.BytesIO(data), len(data))
    assert len(lying()) == 1


@pytest.mark.parametrize("segment", [(5, 0, 4), (4, 1, 2), (6, 1, 2), (2**32 - 1, 0, 3)])
def test_a_segment_that_a_xorb_has_not_is_refused(
    session: Session, segment: tuple[int, int, int]
) -> None:
    name = kept(session, xorb(*CHUNKS))
    with pytest.raises(XorbInvalid):
        read(session, (name, *segment))


def test_a_xorb_that_never_came_is_missed_by_its_name(session: Session) -> None:
    with pytest.raises(Invalid, match=r"cdcdcdcd.*Upload the file again"):
        read(session, ("cd" * 32, 5, 0, 1))


@pytest.mark.parametrize(
    ("data", "announced", "refusal"),
    [
        (xorb(b"noir")[:-1], 0, XorbInvalid),
        (b"nothing of the kind", 0, XorbInvalid),
        (b"", 0, XorbInvalid),
        (chunk(b"noir", 9), 0, XorbInvalid),
        (xorb(b"noir"), 500, SizeMismatch),
    ],
)
def test_what_is_refused_leaves_nothing(
    session: Session, data: bytes, announced: int, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        staging.keep(session, "cd" * 32, io.BytesIO(data), announced or len(data))
    assert not lying()


def test_a_body_that_breaks_off_leaves_nothing_and_keeps_the_first(session: Session) -> None:
    data = xorb(*CHUNKS)
    name = kept(session, data)

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise OSError(errno.ECONNRESET, "gone")

    with pytest.raises(OSError, match="gone"):
        staging.keep(session, name, Broken(), len(data))
    assert len(lying()) == 1
    assert read(session, (name, 5, 1, 2)) == b"blanc"


def test_one_user_cannot_fill_the_disk(session: Session, own_settings: Callable[..., None]) -> None:
    data = xorb(random.Random(6).randbytes(1000), scheme=0)
    own_settings(xet_bytes=3 * (len(data) + 50))
    others = [Session(7, 13, "cd" * 16), Session(7, 12, "ef" * 16)]
    names = [kept(one, data) for one in (session, *others)]
    with pytest.raises(QuotaExceeded, match="4 pieces") as refusal:
        kept(session, data, "01" * 32)
    assert refusal.value.facts["used_bytes"] > 3 * len(data)
    assert len(lying()) == 3
    kept(Session(8, 12, "ab" * 16), data)
    with staging.changing(others[0]):
        staging.remove(others[0])
    kept(session, data, "01" * 32)
    assert read(session, (names[0], 1000, 0, 1), ("01" * 32, 1000, 0, 1))


def test_one_user_cannot_leave_any_number_of_files(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_XORBS", 2)
    for number in range(2):
        kept(session, xorb(bytes([number])))
    with pytest.raises(QuotaExceeded, match="3 pieces"):
        kept(session, xorb(b"more"))
    assert len(lying()) == 2


def test_a_full_disk_is_told_as_such(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(local, "_write_all", no_room)
    with pytest.raises(StorageFull):
        kept(session, xorb(b"noir"))
    assert not lying()


def test_a_session_that_is_gone_takes_no_xorb(session: Session) -> None:
    data = xorb(*CHUNKS)
    kept(session, data)

    class Slow:
        """A body during which another machine finishes the session."""

        def read(self, size: int, /) -> bytes:
            staging.remove(session)
            return data[:size]

    with pytest.raises(Conflict, match="Send it again"):
        staging.keep(session, "cd" * 32, Slow(), len(data))
    assert not lying()
    kept(session, data)


def test_a_session_is_assembled_by_one(session: Session) -> None:
    with staging.changing(session):
        with pytest.raises(Conflict), staging.changing(session):
            pass
        kept(session, xorb(b"noir"))


def age(session: Session, seconds: float) -> None:
    session.rows.update(touched_at=timezone.now() - timedelta(seconds=seconds))


def test_the_sweeper_takes_idle_sessions_and_no_others(session: Session) -> None:
    fresh, busy = (Session(7, 12, two * 16) for two in ("01", "02"))
    for one in (session, fresh, busy):
        kept(one, xorb(b"noir"))
        age(one, staging.IDLE_S + 60)
    kept(fresh, xorb(b"blanc"))
    length = len(xorb(b"noir"))
    assert sweep.run(is_dry=True).leftovers == 2
    assert staging.sweep(is_dry=True) == (2, 2 * length)
    assert len(lying()) == 4
    with staging.changing(busy):
        assert staging.sweep(is_dry=True) == staging.sweep() == (1, length)
    assert (session.rows.count(), fresh.rows.count(), busy.rows.count()) == (0, 1, 1)
    swept = sweep.run()
    assert (swept.leftovers, swept.leftover_bytes) == (1, length)
    assert len(lying()) == 2


def test_a_slow_body_is_not_idle(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "TOUCH_S", 0.0)
    data, swept = xorb(b"noir"), []

    class Slow:
        def read(self, size: int, /) -> bytes:
            swept.append(staging.sweep())
            return data[:size]

    age_at_begin = staging._begin

    def begun_long_ago(*arguments: Any) -> XetXorb:
        row = age_at_begin(*arguments)
        age(session, staging.IDLE_S + 60)
        return row

    monkeypatch.setattr(staging, "_begin", begun_long_ago)
    kept_name = name_of(data)
    assert staging.keep(session, kept_name, Slow(), len(data))
    assert swept == [(0, 0)]


def test_the_sweeper_of_the_store_keeps_xorbs(
    session: Session, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_settings(grace_days=0)
    monkeypatch.setattr(promote, "promotion_timeout", lambda: timedelta(0))
    kept(session, xorb(b"noir"))
    sweep.run()
    assert len(lying()) == 1
    XetXorb.objects.all().delete()
    sweep.run()
    assert not lying()


def test_a_sweep_of_nothing_is_no_error() -> None:
    assert staging.sweep() == staging.sweep(is_dry=True) == (0, 0)
