"""Where the functions of ``lorary.algebra`` write: never over an input, and in a new folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary import HeaderError, algebra
from lorary.algebra import (
    AlgebraError,
    MergeSettings,
    PlannedTensor,
    compare,
    convert,
    extract,
    measure,
    merge,
    open_adapter,
    resize_to_bytes,
    resize_to_rank,
    resize_to_share,
    rewrite,
    write_weights,
)
from lorary.algebra.recognition.documents import sketch_document
from tests.builders.factors import some_pairs, write_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"

Write = Callable[[Any, Any], object]
"""Takes an input and an output."""


def _writers(other: Any) -> Mapping[str, Write]:
    """All functions with an output, once for each input; ``other`` is one more adapter."""
    to_base = MergeSettings(max_rank=2)
    return {
        "convert": lambda path, out: convert(path, to="comfyui", out=out, family="sd1"),
        "extract base": lambda path, out: extract(path, other, out, rank=2),
        "extract tuned": lambda path, out: extract(other, path, out, rank=2),
        "merge first": lambda path, out: merge([path, other], out, strengths=[1, 1]),
        "merge second": lambda path, out: merge([other, path], out, strengths=[1, 1]),
        "merge unused": lambda path, out: merge([other, path], out, strengths=[1, 0]),
        "merge base": lambda path, out: merge(
            [other], out, strengths=[1], settings=MergeSettings(max_rank=2, base=path)
        ),
        "merge approximated": lambda path, out: merge([path], out, strengths=[1], settings=to_base),
        "resize_to_bytes": partial(resize_to_bytes, size_bytes=4000),
        "resize_to_rank": partial(resize_to_rank, rank=2),
        "resize_to_share": partial(resize_to_share, share=0.9),
        "rewrite": partial(rewrite, values={"name": "noir"}),
    }


def test_all_public_functions_with_an_output_are_tested_here() -> None:
    writing = {
        name
        for name in algebra.__all__
        if inspect.isfunction(function := getattr(algebra, name))
        and "out" in inspect.signature(function).parameters
    }
    assert writing == {name.split()[0] for name in _writers("")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two adapters."""
    path = tmp_path / "in"
    path.mkdir()
    write_pairs(path / "a.safetensors", some_pairs())
    write_pairs(path / "b.safetensors", some_pairs(seed=1))
    return path


def test_no_input_is_overwritten(folder: Path, subtests: pytest.Subtests) -> None:
    path = folder / "a.safetensors"
    before = path.read_bytes()
    (folder / "link").symlink_to(path)
    (folder / "hard").hardlink_to(path)
    beside = folder / ".." / folder.name / path.name
    for name, write in _writers(folder / "b.safetensors").items():
        for out in (path, str(path), folder / "link", folder / "hard", beside):
            with subtests.test(name, out=out):
                with pytest.raises(AlgebraError, match="is an input") as caught:
                    write(path, out)
                assert caught.value.code == "same_file"
                assert path.read_bytes() == before
                assert len(list(folder.iterdir())) == 4


def test_paths_may_be_text_and_folders_are_created(folder: Path, subtests: pytest.Subtests) -> None:
    path, other = f"{folder}/a.safetensors", f"{folder}/b.safetensors"
    writers = dict(_writers(other))
    for name in ("extract base", "extract tuned", "merge base"):  # of checkpoints
        del writers[name]
    for name, write in writers.items():
        with subtests.test(name):
            out = folder / "new" / name / "out.safetensors"
            write(path, str(out))
            assert out.is_file()
    assert measure(path).total > 0
    assert compare(path, other).cosine < 1
    assert sketch_document(path) is not None
    with open_adapter(path) as adapter:
        assert len(adapter.modules) == 3


def test_a_refused_file_leaves_no_folder(folder: Path, subtests: pytest.Subtests) -> None:
    path, out = folder / "damaged.safetensors", folder / "new" / "out.safetensors"
    path.write_bytes(b"damaged")
    writers = dict(_writers(folder / "b.safetensors"))
    del writers["merge unused"]  # it is not read
    for name, write in writers.items():
        with subtests.test(name):
            with pytest.raises((AlgebraError, HeaderError)):
                write(path, out)
            assert not out.parent.exists()
    other = MergeSettings(to="diffusers", family="flux1")
    with pytest.raises(AlgebraError, match="can't be converted"):
        merge([folder / "a.safetensors"], out, strengths=[1], settings=other)
    assert not out.parent.exists()


def test_files_of_two_namings_are_merged_into_a_new_folder(folder: Path) -> None:
    first, second = folder / "a.safetensors", folder / "converted" / "b.safetensors"
    convert(folder / "b.safetensors", to="diffusers", out=second, family="sd1")
    out = folder / "new" / "more" / "out.safetensors"
    settings = MergeSettings(family="sd1")
    assert merge([first, second], out, strengths=[1, 1], settings=settings).out.path == out
    assert [one.name for one in out.parent.iterdir()] == [out.name]
    assert {one.stem for one in folder.iterdir()} == {"a", "b", "converted", "new"}


def test_checkpoints_may_be_text(folder: Path) -> None:
    for value, name in enumerate(("base", "tuned")):
        array = np.full((16, 16), value, np.float32)
        plan = {NAME: PlannedTensor("F32", array.shape, lambda array=array: array)}  # type: ignore[misc]
        write_weights(f"{folder}/models/{name}", plan, {})
    base, out = f"{folder}/models/base", f"{folder}/new/out.safetensors"
    assert extract(base, f"{folder}/models/tuned", out, rank=2).out.path == Path(out)
    settings = MergeSettings(max_rank=2, base=base)
    found = merge([f"{folder}/a.safetensors"], out, strengths=[1], settings=settings)
    assert found.out.path == Path(out)


def test_a_missing_input_or_a_folder_is_named(folder: Path, subtests: pytest.Subtests) -> None:
    other = folder / "b.safetensors"
    for name, write in _writers(other).items():
        with subtests.test(name):
            with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
                write(folder / "none.safetensors", folder / "new" / "out.safetensors")
            with pytest.raises(IsADirectoryError, match=folder.name):
                write(folder / "a.safetensors", folder)
            assert {one.stem for one in folder.iterdir()} == {"a", "b"}
