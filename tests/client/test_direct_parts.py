"""Parts that go direct to a bucket, and files that come from one."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.http.retries import Backoff
from lorary.client.http.session import Session
from lorary.client.models import File
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.download import fetch
from lorary.client.transfers.upload import DirectParts
from tests.client.conftest import sha
from tests.client.fakehub import TOKEN, FakeHub, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINKS = "/api/v1/uploads/u/links"
PART = b"p" * 1000


@pytest.fixture
def session(fake: FakeHub) -> Iterator[Session]:
    client = Session(fake.url, TOKEN, timeout_s=5, backoff=Backoff(sleep=lambda _seconds: None))
    yield client
    client.close()


@pytest.fixture
def bucket() -> Iterator[FakeHub]:
    """Another server, which knows no token."""
    with serving(FakeHub()) as hub:
        yield hub


def offer(fake: FakeHub, *urls: tuple[int, str]) -> None:
    listed = {"links": [{"number": number, "url": url} for number, url in urls]}
    fake.answers.append((LINKS, 200, {}, json.dumps(listed).encode()))


def send(direct: DirectParts, number: int) -> bool:
    return direct.send(number, lambda: [memoryview(PART)], len(PART))


def test_parts_go_by_links_without_the_token(
    fake: FakeHub, bucket: FakeHub, session: Session
) -> None:
    offer(fake, *((number, f"{bucket.url}/{number}?sig=%2Fx") for number in (1, 3)))
    bucket.answers += [(r"/[13]\?sig=%2Fx", 200, {}, b"")] * 2
    direct = DirectParts(session, fake.url + LINKS, [1, 3])
    assert send(direct, 3)
    assert send(direct, 1)
    assert not send(direct, 2)  # nobody said that it would be sent
    assert [(one.method, one.body_bytes) for one in bucket.seen] == [("PUT", 1000)] * 2
    assert all("Authorization" not in one.headers for one in bucket.seen)
    assert [one.path for one in fake.seen] == [LINKS]


def test_a_link_that_does_not_work_leaves_the_rest_to_the_hub(
    fake: FakeHub, bucket: FakeHub, session: Session
) -> None:
    offer(fake, *((number, f"{bucket.url}/{number}") for number in (1, 2)))
    bucket.answers += [("/1", 403, {}, b"<Error>SignatureDoesNotMatch</Error>")]
    direct = DirectParts(session, fake.url + LINKS, [1, 2])
    assert not send(direct, 1)
    assert not send(direct, 2)
    assert len(bucket.seen) == 1


@pytest.mark.parametrize("url", [None, "", 7])
def test_a_hub_without_links_gets_the_parts_itself(
    fake: FakeHub, session: Session, url: object
) -> None:
    assert not send(DirectParts(session, url, [1]), 1)
    assert fake.seen == []


def test_a_hub_that_refuses_links_gets_the_parts_itself(fake: FakeHub, session: Session) -> None:
    fake.answers.append((LINKS, 409, {}, b'{"code": "wrong_state", "detail": "Over."}'))
    direct = DirectParts(session, fake.url + LINKS, [1, 2])
    assert not send(direct, 1)
    assert not send(direct, 2)
    assert len(fake.seen) == 1


def test_a_file_that_changed_here_is_no_matter_of_the_link(
    fake: FakeHub, bucket: FakeHub, session: Session
) -> None:
    offer(fake, (1, f"{bucket.url}/1"))

    def changed() -> list[memoryview]:
        message = "it changed"
        raise errors.Corrupt(message)

    with pytest.raises(errors.Corrupt):
        DirectParts(session, fake.url + LINKS, [1]).send(1, changed, 10)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_download_goes_on_at_a_bucket_only_if_the_hub_says_it_is_the_same(
    fake: FakeHub, bucket: FakeHub, session: Session, tmp_path: Path, is_same: bool
) -> None:
    data = random.Random(3).randbytes(5000)
    cache = Cache(tmp_path)
    cache.part(sha(data)).parent.mkdir(parents=True)
    with cache.open_part(sha(data)) as out:
        out.write(data[:2000])
    tag = f'"{sha(data)}"' if is_same else '"another"'
    fake.answers.append(("/f", 302, {"ETag": tag, "Location": f"{bucket.url}/f"}, b""))
    rest = (206, {"Content-Range": "bytes 2000-4999/5000"}, data[2000:])
    bucket.answers.append(("/f", *(rest if is_same else (200, {}, data))))
    file = File("f", "weights", "", 5000, sha(data), True, f"{fake.url}/f")
    assert fetch(session, cache, file) == (3000 if is_same else 5000)
    (seen,) = bucket.seen
    assert seen.headers.get("Range") == ("bytes=2000-" if is_same else None)
    assert "If-Range" not in seen.headers
    assert "Authorization" not in seen.headers
    assert cache.holds(sha(data), 5000, rehash=True)
