"""Downloads of files that are not public: one event for each, by whichever protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.adapters import services as adapters
from registry.models import Event, Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
PATH = "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors"
RESOLVE = "/ada/noir/resolve/main/noir.safetensors"
RESTORED = "version"


@pytest.fixture
def version(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    return noir.versions.first() or released(noir, lora)


@pytest.fixture
def private(ada: User, version: Version) -> Version:
    adapters.describe(actor=ada, adapter=version.adapter, visibility="private")
    return version


def fetch(caller: Any, path: str, **headers: str) -> int:
    answer = caller.get(path, headers=headers)
    if answer.streaming:
        b"".join(answer.streaming_content)
    return int(answer.status_code)


def downloads() -> list[Event]:
    return list(Event.objects.filter(verb="file_downloaded").order_by("pk"))


def test_a_download_of_a_private_file_says_who_took_what(
    as_ada: Caller, ada: User, private: Version
) -> None:
    assert fetch(as_ada, PATH) == fetch(as_ada, RESOLVE) == 200
    place = as_ada.get(f"/api/download/models/{private.pk}").headers["Location"]
    assert fetch(as_ada, place) == 200
    found = downloads()
    assert len(found) == 3
    file = private.primary_file
    assert file is not None
    for event in found:
        assert (event.actor, event.adapter, event.subject) == (ada, private.adapter, "v1")
        assert event.facts == {"path": "noir.safetensors", "sha256": file.sha256}
        assert event.token == ada.access_tokens.get().pk
        assert event.origin.address == "127.0.0.1"


def test_requests_that_send_no_bytes_are_not_recorded(
    as_ada: Caller, as_bob: Caller, private: Version
) -> None:
    file = private.primary_file
    assert file is not None
    etag = f'"{file.sha256}"'
    for path in (PATH, RESOLVE):
        assert as_ada.head(path).status_code == 200
        assert fetch(as_ada, path, if_none_match=etag) == 304
        assert fetch(as_ada, path, range="bytes=999999999-") == 416
        assert fetch(as_bob, path) == 404
    assert downloads() == []


def test_the_ranges_of_a_download_are_one_event(as_ada: Caller, private: Version) -> None:
    for first in (0, 10, 20):
        assert fetch(as_ada, PATH, range=f"bytes={first}-{first + 9}") == 206
    assert len(downloads()) == 1
    assert fetch(as_ada, PATH) == fetch(as_ada, PATH) == 200
    assert len(downloads()) == 3


def test_a_public_download_writes_nothing(
    as_ada: Caller, stranger: Caller, version: Version
) -> None:
    fetch(as_ada, PATH)  # the first use of the token
    for caller in (as_ada, stranger):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert fetch(caller, PATH) == fetch(caller, RESOLVE) == 200
        assert [query for query in queries if not query["sql"].startswith("SELECT")] == []
    assert downloads() == []
