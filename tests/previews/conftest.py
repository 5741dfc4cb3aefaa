"""A tiny base with random weights, opened once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from previews.miniature.recipe.tiny import write_tiny_base

    return write_tiny_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def engine(tiny_folder: Path) -> Any:
    from previews.render.engine import Engine
    from tests.previews.updates import bases_at

    return Engine(bases_at(tiny_folder))


@pytest.fixture
def plain(tiny_folder: Path) -> Any:
    """A pipeline of its own, to be changed at will."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(tiny_folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
