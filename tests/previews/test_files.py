"""Adapter files as tensors: the same numbers that safetensors' own reader gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorary.safetensors import HeaderError
from previews.render.adapters.normalise import _TYPES, read_tensors

if TYPE_CHECKING:
    from pathlib import Path


def test_every_number_format_is_read_as_safetensors_reads_it(tmp_path: Path) -> None:
    numbers = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    written = {str(dtype): numbers.to(dtype) for dtype in _TYPES.values()}
    written |= {"none": torch.empty(0, 4), "alpha": torch.tensor(2.5)}
    path = tmp_path / "all.safetensors"
    save_file(written, path, {"said": "so"})
    tensors, metadata = read_tensors(path)
    expected = load_file(path)
    assert metadata == {"said": "so"}
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape) == (expected[name].dtype, expected[name].shape)
        assert torch.equal(tensor.double(), expected[name].double())


def test_formats_that_torch_has_not_are_refused(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match="F8_E8M0"):
        read_tensors(path)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(40)}, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(HeaderError):
        read_tensors(path)
