"""Covers over the API: in documents of adapters, and an owner's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.pages.pictures import render, sample_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "adapters/ada/noir/cover"
RESTORED = "version"


@pytest.fixture
def version(noir: Adapter, lora: bytes, released: Callable[..., Version]) -> Version:
    return noir.versions.first() or released(noir, lora)


def document(caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = caller.send("get", "adapters/ada/noir").json()
    return found


def test_an_adapter_says_what_its_cover_is(stranger: Caller, version: Version) -> None:
    drawn = document(stranger)["cover_picture"]
    assert (drawn["source"], drawn["id"], drawn["width"], drawn["height"]) == (
        "drawn", None, 640, 400,
    )  # fmt: skip
    sample = sample_of(version)
    uploaded = document(stranger)["cover_picture"]
    assert (uploaded["source"], uploaded["id"]) == ("uploaded", sample.pk)
    assert uploaded["url"] == f"http://testserver/media/samples/{sample.pk}.webp"
    assert (uploaded["width"], uploaded["height"]) == (96, 64)
    image = render(version, "ready", 5).images.get(strength=1)
    [found] = stranger.send("get", "adapters").json()["results"]
    assert (found["cover_picture"]["source"], found["cover_picture"]["id"]) == (
        "rendered",
        image.pk,
    )
    assert found["cover"] == found["cover_picture"]["url"]


def test_an_adapter_without_versions_has_no_cover(as_ada: Caller, noir: Adapter) -> None:
    found = document(as_ada)
    assert (found["cover"], found["cover_picture"], found["cover_is_chosen"]) == (None, None, False)


def test_its_owner_chooses_one_and_undoes_it(
    as_ada: Caller, stranger: Caller, version: Version
) -> None:
    image = render(version, "ready", 5).images.get(strength=0.5)
    sample = sample_of(version)
    answer = as_ada.send("put", PLACE, {"sample": sample.pk})
    assert (answer.status_code, answer.json()["id"]) == (200, sample.pk)
    assert as_ada.send("put", PLACE, {"image": image.pk}).json()["source"] == "rendered"
    found = document(stranger)
    assert (found["cover_picture"]["id"], found["cover_is_chosen"]) == (image.pk, True)
    assert as_ada.send("delete", PLACE).status_code == 204
    assert document(stranger)["cover_is_chosen"] is False


@pytest.mark.parametrize(
    "body", [{}, {"image": 1, "sample": 1}, {"sample": 2**70}, {"sample": "x"}, {"image": 999}]
)
def test_a_choice_that_is_none_says_why(as_ada: Caller, version: Version, body: Any) -> None:
    answer = as_ada.send("put", PLACE, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
