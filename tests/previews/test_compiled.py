"""Compiled denoisers: weights that are changed in place need no new compilation."""

from __future__ import annotations

from functools import partialmethod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from previews.render.bases.pipelines import compile_denoisers
from previews.render.engine import Engine
from tests.previews.methods import changes, write
from tests.previews.updates import bases_at, layer, pixels, recipe, some_updates, write_kohya

if TYPE_CHECKING:
    from pathlib import Path


def test_adapters_and_strengths_need_no_new_compilation(
    tiny_folder: Path, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are those of inductor; making machine code of them would take minutes."""
    eagerly = partialmethod(torch.nn.Module.compile, backend="eager")
    monkeypatch.setattr(torch.nn.Module, "compile", eagerly)
    torch._dynamo.reset()
    files = [
        write_kohya(tmp_path / "pairs.safetensors", some_updates(plain)),
        write(tmp_path / "dora.safetensors", changes(plain, "lokr_dora")),
        write(tmp_path / "full.safetensors", changes(plain, "full")),
    ]
    sweep = recipe(strengths=(0.0, 0.25, 0.5, 1.0))
    usual, compiled = Engine(bases_at(tiny_folder)), Engine(bases_at(tiny_folder, compile=True))
    compiled.render(sweep, [layer(files[0])])
    counters.clear()
    for file in files:
        pairs = zip(
            usual.render(sweep, [layer(file)]), compiled.render(sweep, [layer(file)]), strict=True
        )
        for one, other in pairs:
            assert np.abs(pixels(one.png) - pixels(other.png)).max() <= 1
    assert not counters["frames"]
    assert not counters["stats"]
    torch._dynamo.reset()


def test_a_denoiser_that_is_quantised_in_its_folder_is_not_compiled() -> None:
    """Hooks that are added afterwards, for adapters, would have no effect."""
    packed = torch.nn.Linear(4, 4)
    packed.weight = torch.nn.Parameter(packed.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match="unet"):
        compile_denoisers(SimpleNamespace(unet=torch.nn.Sequential(packed)))
