"""Memory that runs out: what is asked for less of, in which order, and where it ends."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from previews.render import Layer, OutOfMemory
from previews.render.adapters.applied import mount
from previews.render.bases.pipelines import has_room, is_out_of_memory
from previews.render.engine import Callbacks, Engine
from previews.render.lineage.denoising import Scene
from previews.render.lineage.verdict import LEVELS, SEEDS
from previews.render.pictures import control_key
from tests.previews.updates import (
    ControlsInMemory,
    bases_at,
    pixels,
    recipe,
    some_updates,
    write_kohya,
)

if TYPE_CHECKING:
    from pathlib import Path

    from previews.render.bases.pipelines import OpenBase

FOUR = recipe(seeds=(1, 2), strengths=(1.0,), steps=1)


class Tight:
    """A part of a pipeline that has too little memory so many times."""

    def __init__(self, part: Any, failures: int, error: Exception) -> None:
        self.real, self.left, self.error = part.forward, failures, error
        self.sizes: list[int] = []

    def __call__(self, sample: torch.Tensor, *given: Any, **named: Any) -> Any:
        if self.left:
            self.left -= 1
            self.sizes.append(len(sample) // 2)  # with and without guidance
            raise self.error
        return self.real(sample, *given, **named)


@pytest.fixture
def engine(tiny_folder: Path) -> Engine:
    """An engine of its own, whose settings may change."""
    return Engine(bases_at(tiny_folder))


def tighten(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    error: Exception | None = None,
) -> tuple[OpenBase, Tight]:
    opened = engine.bases.get("tiny")
    unet = opened.pipeline.unet
    tight = Tight(unet, failures, error or torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(unet, "forward", tight)
    return opened, tight


def on_a_card(opened: OpenBase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend that the base is on one; offloading is written down and nothing else."""
    asked: list[str] = []
    opened.device = "cuda:1"

    def offload(device: str) -> None:
        asked.append(device)

    monkeypatch.setattr(opened.pipeline, "enable_model_cpu_offload", offload)
    return asked


def test_fewer_pictures_then_tiles_then_offloading(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [pixels(picture.png) for picture in engine.render(FOUR)]
    opened, tight = tighten(engine, monkeypatch, 4)
    asked = on_a_card(opened, monkeypatch)
    made = engine.render(FOUR)
    assert tight.sizes == [4, 2, 1, 1]
    assert (opened.batch, opened.pipeline.vae.use_tiling, asked) == (1, True, ["cuda:1"])
    for picture, other in zip(made, expected, strict=True):
        assert np.abs(pixels(picture.png) - other).max() <= 1


def test_controls_are_kept_under_the_places_that_memory_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _tight = tighten(engine, monkeypatch, 1)
    asked, controls = recipe(seeds=(1, 2), strengths=(0.0,), steps=1), ControlsInMemory()
    made = engine.render(asked, callbacks=Callbacks(controls=controls))
    assert opened.batch == 2
    keys = [
        control_key(asked, picture.shot, opened.fingerprint, (2, index % 2))
        for index, picture in enumerate(made)
    ]
    assert {key: picture.png for key, picture in controls.items()} == {
        key: picture.png for key, picture in zip(keys, made, strict=True)
    }


def test_denoising_needs_less_memory_too(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _tight = tighten(engine, monkeypatch, 1)
    freed: list[bool] = []
    monkeypatch.setattr(opened.pipeline, "maybe_free_model_hooks", lambda: freed.append(True))
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    found = engine.denoise("tiny", [], [Scene(buffer.getvalue(), "")], (64, 64), lambda: None)
    assert found.errors.shape == (1, len(LEVELS), len(SEEDS))
    assert opened.pipeline.vae.use_tiling
    assert freed == [True, True]  # also after the call that failed


def test_what_was_spared_stays_spared(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, tight = tighten(engine, monkeypatch, 1)
    engine.render(FOUR)
    assert (tight.sizes, opened.batch, opened.offload) == ([4], 2, "none")
    engine.render(FOUR)
    assert (tight.sizes, opened.batch) == ([4], 2)


def test_where_nothing_is_left_it_ends_clearly(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, tight = tighten(engine, monkeypatch, 100)
    asked = on_a_card(opened, monkeypatch)
    with pytest.raises(OutOfMemory, match="Not even one picture of “tiny”"):
        engine.render(FOUR)
    assert tight.sizes == [4, 2, 1, 1, 1]
    assert asked == ["cuda:1"]
    with pytest.raises(OutOfMemory):
        engine.render(FOUR)
    assert asked == ["cuda:1"]


def test_on_a_processor_nothing_is_offloaded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _opened, tight = tighten(engine, monkeypatch, 100, MemoryError())
    with pytest.raises(OutOfMemory):
        engine.render(FOUR)
    assert tight.sizes == [4, 2, 1, 1]


def test_a_base_that_failed_for_want_of_memory_is_plain_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.render(recipe(strengths=(0.0,)))
    path = write_kohya(tmp_path / "k.st", some_updates(engine.bases.get("tiny").pipeline))
    tighten(engine, monkeypatch, 100)
    with pytest.raises(OutOfMemory):
        engine.render(FOUR, [Layer(path)])
    monkeypatch.undo()
    after = engine.render(recipe(strengths=(0.0,)))  # each alone: the batch was reduced
    for one, other in zip(after, before, strict=True):
        assert np.abs(pixels(one.png) - pixels(other.png)).max() <= 1


def test_another_error_is_no_want_of_memory(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tighten(engine, monkeypatch, 1, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        engine.render(FOUR)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError(), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shapes"), False),
    ],
)
def test_memory_errors_are_told_by_class_and_words(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


# --- What is kept of the base --------------------------------------------------------------------


def test_a_change_that_was_broken_off_is_made_whole_by_the_next(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = engine.bases.get("tiny")
    path = write_kohya(tmp_path / "k.st", some_updates(opened.pipeline))
    rack = mount(opened.pipeline, opened.table, [Layer(path)])
    weights = opened.pipeline.unet.state_dict()
    plain = {name: value.clone() for name, value in weights.items()}
    rack.set_strength(1.0)
    wanted = {name: value.clone() for name, value in weights.items()}
    rack.restore()
    calls = iter(range(5))
    with monkeypatch.context() as short:
        real = torch.isfinite

        def breaks(tensor: torch.Tensor) -> torch.Tensor:
            if next(calls, None) is None:
                raise MemoryError
            return real(tensor)

        short.setattr(torch, "isfinite", breaks)
        with pytest.raises(MemoryError):
            rack.set_strength(1.0)
    rack.set_strength(1.0)
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    rack.set_strength(0.0)
    assert all(torch.equal(weights[name], plain[name]) for name in plain)


def test_a_card_has_room_when_as_much_again_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _device: (6, 24))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda _device: 14)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda _device: 10)
    assert has_room(card, 5)
    assert not has_room(card, 6)
    assert not has_room(torch.device("cpu"), 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card")
@pytest.mark.parametrize("has_room", [True, False])
def test_on_a_card_the_bytes_come_back_wherever_they_were_kept(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    monkeypatch.setattr("previews.render.adapters.applied.has_room", lambda *_: has_room)
    opened = Engine(bases_at(tiny_folder, device="cuda")).bases.get("tiny")
    before = {name: value.clone() for name, value in opened.pipeline.unet.state_dict().items()}
    path = write_kohya(tmp_path / "k.st", some_updates(opened.pipeline))
    rack = mount(opened.pipeline, opened.table, [Layer(path)])
    rack.set_strength(0.5)
    assert rack.free_device_memory() is has_room
    assert not rack.free_device_memory()
    rack.set_strength(1.0)
    rack.restore()
    after = opened.pipeline.unet.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
