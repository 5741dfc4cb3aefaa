"""Pictures at strength 0 are made once, stored once, and shared by all adapters."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

import previews.tasks  # noqa: F401 - registers the handler of renders
from previews.models import Control, Image
from previews.pictures.services import StoredControls
from previews.render import engine
from previews.render.pictures import Film, Picture
from previews.render.recipe import Shot
from previews.renders.selectors import previews_of
from registry import storage, sweep
from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.models import Blob
from training.miniature.tiny import write_tiny_lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

KEY = "a1" * 32


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Strengths of the pictures that the engine really draws, one for each."""
    drawn: list[float] = []

    arguments = engine.arguments

    def counted(opened: Any, recipe: Any, shots: Any, *more: Any) -> Any:
        drawn.extend(shot.strength for shot in shots)
        return arguments(opened, recipe, shots, *more)

    monkeypatch.setattr("previews.render.engine.arguments", counted)
    return drawn


@pytest.fixture
def other_lora(tmp_path: Path) -> bytes:
    return write_tiny_lora(tmp_path / "other.safetensors", seed=9).read_bytes()


@pytest.fixture
def blanc(ada: User) -> Adapter:
    return adapters.create(actor=ada, name="blanc", title="Blanc", kind="style")


def at(version: Version, strength: float) -> dict[tuple[str, int], int]:
    """Blobs of a version's pictures at a strength, by prompt and seed."""
    rows = Image.objects.filter(render__version=version, strength=strength)
    return {(row.prompt, row.seed): row.blob_id for row in rows}


def picture(data: bytes = b"a", moving: bytes = b"") -> Picture:
    film = Film(moving, "video/mp4", 8, 4) if moving else None
    return Picture(Shot(3, 1, "a cat", 7, 0.0), 64, 32, data, film)


def test_two_adapters_share_the_pictures_of_the_base_alone(
    served: None,
    noir: Adapter,
    blanc: Adapter,
    publish: Callable[..., Version],
    other_lora: bytes,
    made: list[float],
) -> None:
    first = publish(noir)
    worker_process.drain("render.miniature")
    assert (made.count(0.0), len(made)) == (7, 20)
    second = publish(blanc, other_lora)
    worker_process.drain("render.miniature")
    assert (made.count(0.0), len(made)) == (7, 33)
    assert at(first, 0.0) == at(second, 0.0)
    assert set(at(first, 1.0).values()).isdisjoint(at(second, 1.0).values())
    assert set(Control.objects.values_list("blob", flat=True)) == set(at(first, 0.0).values())
    assert previews_of(second).state == "ready"


def test_a_control_whose_bytes_are_gone_is_drawn_again(
    served: None,
    noir: Adapter,
    blanc: Adapter,
    publish: Callable[..., Version],
    other_lora: bytes,
    made: list[float],
) -> None:
    first = publish(noir)
    worker_process.drain("render.miniature")
    swept, lost = Control.objects.select_related("blob").order_by("pk")[:2]
    Blob.objects.filter(pk=swept.blob_id).update(is_stored=False)
    storage.store().delete(lost.blob.sha256)
    made.clear()
    second = publish(blanc, other_lora)
    worker_process.drain("render.miniature")
    assert made.count(0.0) == 7  # together, as before: the same bytes
    assert at(first, 0.0) == at(second, 0.0)
    assert Control.objects.count() == 7
    swept.blob.refresh_from_db()
    assert swept.blob.is_stored
    with storage.store().open(lost.blob.sha256) as handle:
        assert handle.read(4) == b"\x89PNG"


def test_a_key_has_one_row_whoever_adds_it(db: None) -> None:
    one, two = StoredControls(), StoredControls()
    assert one.find([KEY]) == two.find([KEY]) == {}
    one.add({KEY: picture(b"first", b"moving")})
    two.add({KEY: picture(b"second")})
    [row] = Control.objects.all()
    assert (row.blob.sha256, row.animation) == (hashlib.sha256(b"second").hexdigest(), None)
    found = one.find([KEY, "f" * 64])
    assert found.keys() == {KEY}
    assert (found[KEY].png, found[KEY].width, found[KEY].height) == (b"second", 64, 32)


def test_a_video_is_found_with_its_animation(db: None) -> None:
    StoredControls().add({KEY: picture(b"sheet", b"moving")})
    film = StoredControls().find([KEY])[KEY].film
    assert film == Film(b"moving", "video/mp4", 8, 4)


def test_the_sweeper_keeps_controls(db: None) -> None:
    StoredControls().add({KEY: picture(b"sheet", b"moving")})
    Blob.objects.update(unreferenced_since=timezone.now() - timedelta(days=999))
    sweep.run()
    assert StoredControls().find([KEY])


def test_a_key_is_a_digest(db: None) -> None:
    StoredControls().add({KEY: picture()})
    with pytest.raises(IntegrityError), transaction.atomic():
        Control.objects.update(key="no digest")
