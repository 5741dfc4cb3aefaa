"""What the API tells of pictures: every form, the blur, the sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from previews.models import Image, Sheet
from registry.models import Blob
from tests.pages.pictures import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


def test_pictures_come_with_their_forms_and_sheets(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    image = render(released(noir, lora), "ready", 2).images.latest("position")
    blob = Blob.objects.create(sha256="ab" * 32, size_bytes=1)
    plain = stranger.send("get", "adapters/ada/noir/versions/v1").json()["previews"]
    assert plain["sheets"] is None
    assert [len(one["sources"]) for one in plain["images"]] == [1, 1]
    Image.objects.filter(pk=image.pk).update(
        placeholder="data:x", animation=blob, media_type="video/mp4", frames=8, fps=4
    )
    Sheet.objects.create(render=image.render, kind="png", blob=blob)
    told = stranger.send("get", "adapters/ada/noir/versions/v1").json()["previews"]
    still, moving = told["images"]
    base = "http://testserver/media"
    form = {
        "type": "image/webp",
        "width": 128,
        "url": f"{base}/images/{image.pk}/{'1' * 12}-128.webp",
    }
    assert moving["sources"] == [form]
    assert (still["placeholder"], moving["placeholder"]) == ("", "data:x")
    assert (still["animation"], moving["animation"]) == (None, f"{base}/images/{image.pk}.mp4")
    about = ("media_type", "frames", "fps", "duration_s")
    assert [still[key] for key in about] == ["image/png", 1, 0, None]
    assert [moving[key] for key in about] == ["video/mp4", 8, 4, 2.0]
    assert told["sheets"] == {"png": f"{base}/sheets/{image.render_id}.png"}
    render_id = told["render_id"]
    assert stranger.send("get", f"renders/{render_id}").json()["sheets"] == told["sheets"]


def test_no_picture_of_a_withdrawn_version_is_told(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    version = released(noir, lora)
    image = render(version, "ready", 2).images.latest("position")
    Image.objects.update(placeholder="data:x")
    Sheet.objects.create(render=image.render, kind="png", blob=image.blob)
    version.state, version.withdrawn_reason = "withdrawn", "copied"
    version.save()
    assert stranger.send("get", "adapters/ada/noir/versions/v1").status_code == 410
    previews = stranger.send("get", f"renders/{image.render_id}").json()
    assert (previews["images"], previews["sheets"]) == ([], None)
    panel = stranger.get("/ada/noir/previews?v=v1")
    assert panel.status_code == 200
    assert "data:x" not in panel.content.decode()


def test_a_pdf_of_an_older_hub_is_not_told(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    image = render(released(noir, lora), "ready", 2).images.latest("position")
    Sheet.objects.create(render=image.render, kind="pdf", blob=image.blob)
    path = f"renders/{image.render_id}"
    assert stranger.send("get", path).json()["sheets"] is None
    Sheet.objects.create(render=image.render, kind="png", blob=image.blob)
    assert set(stranger.send("get", path).json()["sheets"]) == {"png"}


def test_a_rendered_picture_has_the_rating_of_its_adapter_or_its_own(
    stranger: Caller,
    as_ada: Caller,
    as_bob: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
) -> None:
    image = render(released(noir, lora), "ready", 5).images.get(strength=1)
    noir.maturity = "suggestive"
    noir.save(update_fields=["maturity"])

    def ratings() -> list[str]:
        told = stranger.send("get", "adapters/ada/noir/versions/v1").json()["previews"]
        return [one["maturity"] for one in told["images"]]

    def cover() -> Any:
        return stranger.send("get", "adapters").json()["results"][0]["cover_picture"]

    assert ratings() == ["suggestive"] * 5
    assert cover()["maturity"] == "suggestive"
    place, wanted = f"pictures/{image.pk}", {"maturity": "explicit"}
    assert stranger.send("patch", place, wanted).status_code == 401
    assert as_bob.send("patch", place, wanted).status_code == 403
    assert as_ada.send("patch", place, {"maturity": "odd"}).status_code == 400
    assert as_ada.send("patch", "pictures/0", wanted).status_code == 404
    told = as_ada.send("patch", place, wanted).json()
    assert (told["id"], told["maturity"]) == (image.pk, "explicit")
    assert ratings() == ["suggestive"] * 4 + ["explicit"]
    assert cover()["maturity"] == "explicit"
    assert as_ada.send("patch", place, {"maturity": ""}).json()["maturity"] == "suggestive"
