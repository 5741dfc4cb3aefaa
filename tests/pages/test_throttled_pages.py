"""Strangers who ask for pages and drawn pictures without end are told to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.http.throttles import CoverThrottle, DrawnImageThrottle, PageThrottle, WriteThrottle
from previews.models import Image
from tests.pages.pictures import render
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Version

pytestmark = pytest.mark.django_db

#: Each throttle, in the middle of a minute of its own.
NOW = 600.25


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for throttle in (PageThrottle, DrawnImageThrottle, CoverThrottle, WriteThrottle):
        monkeypatch.setattr(throttle, "timer", lambda _self: NOW)


def statuses(client: Client, path: str, times: int) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


def test_a_stranger_who_asks_for_too_many_pages_is_told_when_to_go_on(
    client: Client, own_settings: Callable[..., None]
) -> None:
    own_settings(pages_per_minute=3)
    assert statuses(client, "/browse", 2) == [200, 200]
    assert statuses(client, "/nobody/nothing", 1) == [404]  # counts as well
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert answer.headers["Cache-Control"].startswith("private")
    text = answer.content.decode()
    assert "You sent too many requests. Try again in 60 seconds." in text
    assert client.get("/browse", REMOTE_ADDR="192.0.2.7").status_code == 200


def test_who_is_signed_in_is_not_counted(as_ada: Client, own_settings: Callable[..., None]) -> None:
    own_settings(pages_per_minute=1)
    assert statuses(as_ada, "/browse", 3) == [200, 200, 200]


def test_no_limit_where_the_owner_sets_none(
    client: Client, v1: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(pages_per_minute=0, drawn_per_minute=0)
    assert statuses(client, "/browse", 3) == [200, 200, 200]
    assert statuses(client, f"/media/cards/{v1.pk}.png", 2) == [200, 200]


def test_drawn_pictures_have_a_limit_of_their_own(
    client: Client, v1: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(drawn_per_minute=2)
    card = f"/media/cards/{v1.pk}.png"
    assert statuses(client, card, 3) == [200, 200, 429]
    assert client.get(card).headers["Retry-After"] == "60"
    assert client.get("/browse").status_code == 200


def test_the_count_of_drawn_pictures_does_not_make_them_vary_by_cookie(
    as_ada: Client, v1: Version
) -> None:
    for path in (f"/media/cards/{v1.pk}.png", f"/media/covers/{v1.pk}.svg"):
        answer = as_ada.get(path)
        assert answer.status_code == 200
        assert "cookie" not in answer.headers.get("Vary", "").casefold()


def test_a_page_full_of_thumbnails_and_static_files_is_not_counted(
    client: Client, v1: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(pages_per_minute=1, drawn_per_minute=1)
    blob = blob_of(b"RIFF....WEBP")
    image = render(v1, "ready", 1).images.get()
    Image.objects.filter(pk=image.pk).update(blob=blob)
    assert client.get("/browse").status_code == 200
    for path in (
        f"/media/images/{image.pk}.png", f"/media/covers/{v1.pk}.svg", "/static/icon.svg",
        "/healthz",
    ):  # fmt: skip
        assert statuses(client, path, 30) == [200] * 30, path


def test_forms_that_one_user_sends_are_counted(
    as_ada: Client, own_settings: Callable[..., None]
) -> None:
    own_settings(writes_per_minute=2)
    sent = [as_ada.post("/settings/tokens", {}).status_code for _ in range(3)]
    assert sent == [400, 400, 429]
    assert as_ada.get("/settings/tokens").status_code == 200, "reading goes on"


def test_covers_have_a_limit_that_no_reader_meets(
    client: Client, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CoverThrottle, "get_rate", lambda _self: "2/min")
    assert statuses(client, f"/media/covers/{v1.pk}.svg", 3) == [200, 200, 429]


def test_the_defaults_leave_room_for_a_reader_with_many_tabs() -> None:
    pages, covers, drawn = PageThrottle(), CoverThrottle(), DrawnImageThrottle()
    assert (pages.num_requests, covers.num_requests, drawn.num_requests) == (1200, 1800, 120)
