"""From published files to stored videos: a pair for Wan 2.2, by the queue."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as Pictures

import previews.tasks  # noqa: F401 - registers the handler of renders
from previews.models import Control, Image
from previews.pictures.services import bytes_of
from previews.render.engine import Engine
from previews.renders import services as renders
from previews.renders.selectors import previews_of
from registry import storage
from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.publication import services as publication
from registry.versions.details import Details
from tests import catalogue
from tests.previews.families import conventions
from tests.previews.films import played

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from previews.render import Layer
    from registry.models import Blob, User, Version
    from tests.previews.families.scenes import Scene

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def scene(scenes: Callable[[str], Scene], settings: Settings) -> Scene:
    """A tiny Wan 2.2, served to this hub."""
    scene = scenes("wan_14b")
    file = scene.folder.parent / "bases.toml"
    tiny = scene.tiny
    file.write_text(
        f'[bases.tiny]\nfamily = "wan_14b"\npath = "{scene.folder.name}"\ndevice = "cpu"\n'
        f"steps = {tiny.steps}\nguidance = 2.5\nwidth = {tiny.size}\nheight = {tiny.size}\n"
        f'frames = {tiny.frames}\nfps = 8\ndtype = "float32"\n'
        + "".join(f"call.{key} = {value}\n" for key, value in tiny.call.items())
    )
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    return scene


@pytest.fixture
def pair(scene: Scene, ada: User, tmp_path: Path) -> Version:
    """A version with a file for each transformer, both with the names of one model."""
    sent = []
    for half, part, seed in (("HIGH", "transformer", 7), ("LOW", "transformer_2", 8)):
        updates = conventions.updates_of(scene.plain, "wan_14b", part=part, seed=seed)
        named = [conventions.moved(update, "transformer") for update in updates]
        path, _ = conventions.written(tmp_path / "a", "kohya-original", scene.plain, named)
        sent.append(catalogue.accept(ada, path.read_bytes(), f"noir_{half}.safetensors"))
    adapter = adapters.create(actor=ada, name="noir", kind="style")
    said = Details(declared_family="wan_14b", trigger_words=())
    return publication.release(actor=ada, adapter=adapter, uploads=sent, details=said)


def opened(blob: Blob) -> Any:
    with storage.store().open(blob.sha256) as handle:
        return Pictures.open(io.BytesIO(handle.read()))


def test_both_files_of_a_pair_are_rendered_and_the_videos_kept(
    pair: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[Layer]] = []
    render = Engine.render

    def watched(self: Engine, recipe: Any, stack: list[Layer], **more: Any) -> Any:
        given.append(list(stack))
        return render(self, recipe, stack, **more)

    monkeypatch.setattr(Engine, "render", watched)
    renders.begin(version=pair)
    worker_process.drain("render.wan_14b")
    found = previews_of(pair)
    assert (found.state, found.reason) == ("ready", "")
    assert [(layer.part, layer.name) for layer in given[0]] == [
        ("", "noir-v1"),
        ("transformer_2", "noir-v1"),
    ]
    high, low = given[0]
    assert high.sha256 == pair.primary_file.sha256 != low.sha256  # type: ignore[union-attr]
    for row in Image.objects.filter(render__version=pair).select_related("animation", "blob"):
        _tags, frames = played(bytes_of(row.animation.sha256))  # type: ignore[union-attr]
        assert (len(frames), frames[0].shape) == (5, (32, 32, 3))
        assert opened(row.blob).format == "PNG"
        assert (row.media_type, row.frames, row.fps, row.duration_s) == ("video/mp4", 5, 8, 0.625)
    shown = found.images[0]
    assert (found.output, found.base, found.others) == ("video", "tiny", ())
    assert shown.animation == f"/media/images/{shown.id}.mp4"
    assert all(control.animation for control in Control.objects.all())
