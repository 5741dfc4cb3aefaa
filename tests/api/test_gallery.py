"""Pictures that people bring, over the API, and their bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import previews.tasks  # noqa: F401 - registers the handlers of jobs
from hub.http.middleware import FOR_AN_HOUR
from previews.models import Sample
from previews.samples import services as samples
from registry.jobs import worker_process
from registry.models import Visibility
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "adapters/ada/noir/versions/v1/samples"
TEXT = b'parameters\0a harbour <lora:noir:0.8>\nSteps: 20, Seed: 7, Lora hashes: "noir: %s"'
RESTORED = "version"


@pytest.fixture
def version(noir: Adapter, lora: bytes, released: Callable[..., Version]) -> Version:
    return noir.versions.first() or released(noir, lora)


def bring(caller: Caller, data: bytes, query: str = "", kind: str = "image/png") -> Any:
    return caller.send("post", PLACE + query, data, content_type=kind)


@pytest.fixture
def sample(version: Version, as_ada: Caller) -> dict[str, Any]:
    """A picture that was brought and read."""
    file = version.primary_file
    assert file is not None
    text = TEXT % file.sha256[:10].encode()
    data = files.png(files.chunk(b"tEXt", text))
    answer = bring(as_ada, data, "?name=night.png&caption=At%20night")
    assert answer.status_code == 202, answer.content
    worker_process.drain("checks")
    found: dict[str, Any] = as_ada.send("get", answer["Location"]).json()
    return found


def test_a_picture_is_brought_read_and_listed(sample: dict[str, Any], stranger: Caller) -> None:
    assert (sample["state"], sample["kind"], sample["reason"]) == ("ready", "picture", "")
    assert (sample["adapter"], sample["version"], sample["brought_by"]) == ("ada/noir", "v1", "ada")
    assert (sample["caption"], sample["width"], sample["height"]) == ("At night", 96, 64)
    assert sample["claims"]["prompt"] == "a harbour <lora:noir:0.8>"
    [resource] = sample["claims"]["resources"]
    assert (resource["strength"], resource["matched"]) == (0.8, "ada/noir@v1")
    listed = stranger.send("get", PLACE).json()
    assert listed == {"results": [sample], "next": None}


def test_the_picture_is_sent_with_headers_that_keep_it_a_picture(
    sample: dict[str, Any], stranger: Caller
) -> None:
    answer = stranger.get(sample["url"])
    data = answer.getvalue()
    assert (answer.status_code, data[8:12]) == (200, b"WEBP")
    assert answer["Content-Type"] == "image/webp"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer["Cache-Control"] == FOR_AN_HOUR
    again = stranger.get(sample["url"], headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again["Cache-Control"]) == (304, FOR_AN_HOUR)
    assert "Content-Length" not in again.headers


def test_lists_get_a_small_form(version: Version, as_ada: Caller) -> None:
    bring(as_ada, files.encoded(files.photo(1600, 800), "JPEG"))
    worker_process.drain("checks")
    [sample] = as_ada.send("get", PLACE).json()["results"]
    assert sample["small_url"].endswith(f"/media/samples/{sample['id']}-512.webp")
    small = as_ada.get(sample["small_url"])
    with Image.open(io.BytesIO(small.getvalue())) as picture:
        assert picture.size == (512, 256)
    page = as_ada.get("/ada/noir").content.decode()
    assert f"/media/samples/{sample['id']}-512.webp 512w, " in page
    assert as_ada.get(f"/media/samples/{sample['id']}-513.webp").status_code == 404


def test_a_video_is_sent_in_parts_and_has_a_poster(version: Version, as_ada: Caller) -> None:
    bring(as_ada, files.film(), kind="video/mp4")
    worker_process.drain("checks")
    [sample] = as_ada.send("get", PLACE).json()["results"]
    assert sample["kind"] == "video"
    part = as_ada.get(sample["url"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.getvalue()) == (206, b"ftyp")
    assert part["Content-Type"] == "video/mp4"
    poster = as_ada.get(sample["poster_url"])
    assert poster["Content-Type"] == "image/webp"
    assert as_ada.get(f"/media/samples/{sample['id']}.png").status_code == 404


def test_what_is_private_answers_as_if_absent(
    sample: dict[str, Any], noir: Adapter, as_ada: Caller, as_bob: Caller
) -> None:
    noir.refresh_from_db()
    noir.visibility = Visibility.PRIVATE
    noir.save()
    for place in (sample["url"], f"/api/v1/samples/{sample['id']}", f"/api/v1/{PLACE}"):
        assert as_bob.get(place).status_code == 404
    mine = as_ada.get(sample["url"])
    assert (mine.status_code, mine["Cache-Control"]) == (200, "private, no-store")


def test_other_kinds_are_refused_with_a_sentence(version: Version, as_ada: Caller) -> None:
    answer = bring(as_ada, b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    told = answer.json()
    assert (answer.status_code, told["code"], told["why"]) == (422, "upload_refused", "kind")
    assert told["detail"].startswith("Files of type SVG are not accepted. Use PNG")


def test_a_refusal_of_the_worker_is_told_to_the_owner_alone(
    version: Version, as_ada: Caller, as_bob: Caller
) -> None:
    place = (
        f"samples/{bring(as_ada, files.png(size=(30_000, 30_000)), '?name=huge.png').json()['id']}"
    )
    worker_process.drain("checks")
    told = as_ada.send("get", place).json()
    assert (told["state"], told["file_name"]) == ("refused", "huge.png")
    assert told["reason"].startswith("The picture has 30000 × 30000 pixels")
    assert as_bob.send("get", place).status_code == 404
    assert as_bob.send("get", PLACE).json()["results"] == []


def test_captions_change_and_pictures_go(
    sample: dict[str, Any], as_ada: Caller, as_bob: Caller, stranger: Caller
) -> None:
    place = f"samples/{sample['id']}"
    assert as_bob.send("patch", place, {"caption": "mine"}).status_code == 403
    assert stranger.send("delete", place).status_code == 401
    assert as_bob.send("delete", place).status_code == 403
    changed = as_ada.send("patch", place, {"caption": "At dawn"}).json()
    assert changed["caption"] == "At dawn"
    assert as_ada.send("delete", place).status_code == 204
    assert as_ada.get(sample["url"]).status_code == 404
    assert not Sample.objects.exists()


def test_only_the_owner_brings_pictures(
    version: Version, as_bob: Caller, stranger: Caller, ada: Any, token_of: Callable[..., str]
) -> None:
    data = files.png()
    assert bring(as_bob, data).status_code == 403
    assert bring(stranger, data).status_code == 401
    reader = type(as_bob)(token_of(ada, "read"))
    assert bring(reader, data).json()["code"] == "scope_missing"


def test_limits_are_told(version: Version, as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_OF_VERSION", 1)
    bring(as_ada, files.png())
    answer = bring(as_ada, files.png())
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    long = bring(as_ada, files.png(), "?caption=" + "x" * 300)
    assert (long.status_code, list(long.json()["fields"])) == (400, ["caption"])


def test_a_body_without_length_is_not_read(version: Version, as_ada: Caller) -> None:
    answer = as_ada.send("post", PLACE, b"", content_type="image/png", CONTENT_LENGTH="")
    assert answer.status_code == 411


def test_pictures_are_rated_and_filtered_by_rating(
    sample: dict[str, Any], as_ada: Caller, as_bob: Caller, stranger: Caller, noir: Adapter
) -> None:
    assert (sample["maturity"], sample["own_maturity"]) == ("general", "")
    assert bring(as_ada, files.png(), "?maturity=odd").status_code == 400
    other = bring(as_ada, files.png(), "?maturity=explicit").json()
    worker_process.drain("checks")
    assert other["own_maturity"] == "explicit"

    def listed(level: str) -> list[int]:
        answer = stranger.send("get", f"{PLACE}?max_maturity={level}")
        return [one["id"] for one in answer.json()["results"]]

    both = [other["id"], sample["id"]]
    assert [listed(level) for level in ("", "general", "mature", "explicit")] == [
        both, [sample["id"]], [sample["id"]], both,
    ]  # fmt: skip
    noir.maturity = "mature"
    noir.save(update_fields=["maturity"])
    assert [listed(level) for level in ("suggestive", "mature")] == [[], [sample["id"]]]
    assert stranger.send("get", f"{PLACE}?max_maturity=odd").status_code == 400
    place = f"samples/{other['id']}"
    assert as_bob.send("patch", place, {"maturity": "general"}).status_code == 403
    assert as_ada.send("patch", place, {"maturity": "odd"}).status_code == 400
    edited = as_ada.send("patch", place, {"maturity": ""}).json()
    assert (edited["maturity"], edited["own_maturity"]) == ("mature", "")
    edited = as_ada.send("patch", place, {"caption": "Night"}).json()
    assert (edited["maturity"], edited["caption"]) == ("mature", "Night")
