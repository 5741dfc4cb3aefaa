"""Traced conversions of diffusers' own converters: every module and every range of rows agrees."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from lorary.algebra.conversion.planning import plan
from lorary.algebra.conversion.sources import read_sources
from lorary.algebra.files import WeightFile
from lorary.algebra.naming.relations import FamilyNames, names_of
from lorary.anatomy import inspect_file
from lorary.safetensors.tensors import DTYPE_BITS
from tests.builders.weights import file_of
from tests.lorary import reference

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not reference.IS_HERE, reason="no reference data")

CASES = reference.names("conversion_pairs")

# Headers that the reference doesn't have: the family whose modules are converted.
FAMILIES = (
    ("chroma", "chroma"), ("flux1", "flux1"), ("flux2_dev", "flux2_dev"),
    ("hunyuan_video", "hunyuan_video"), ("qwen_image", "qwen_image"), ("sd2", "sd2"),
    ("sdxl", "sdxl"), ("wan21_i2v", "wan_14b_i2v"),
)  # fmt: skip
_PROCESSOR = re.compile(r"(.+)\.processor\.(to_\w+?)_lora\.down\.weight")
_ENCODER = re.compile(r"(.+\.self_attn)\.to_(q|k|v|out)_lora\.down\.weight")
_XLABS = re.compile(r"(.+)\.processor\.(qkv|proj)_lora(\d)")


def modern(name: str) -> str:
    """The name of a module that diffusers' converters spell as an old attention processor."""
    found = _PROCESSOR.fullmatch(name)
    if found:
        return f"{found[1]}.{'to_out.0' if found[2] == 'to_out' else found[2]}"
    found = _ENCODER.fullmatch(name)
    if found:
        return f"{found[1]}.{found[2]}_proj"
    return name.removeprefix("transformer.")  # missing where a converter forgets it


def source_name(name: str) -> str:
    found = _XLABS.fullmatch(name)
    if found is None:
        return name
    return f"{found[1]}.{'img' if found[3] == '1' else 'txt'}_attn.{found[2]}"


def write_header(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """Write a file of zeros; the file system stores none of them."""
    document: dict[str, object] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * DTYPE_BITS[dtype] // 8
        document[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    head = file_of(document)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + end)


def tensors_of(case: dict[str, Any], family: FamilyNames | None) -> dict[str, Any]:
    """The tensors of a case's header; made from its modules if the reference has none."""
    if family is None:
        described = reference.load("lora_headers", case["header"])["tensors"]
        return {
            name: (one["dtype"] or "F16", one["shape"] or []) for name, one in described.items()
        }
    found: dict[str, Any] = {}
    for name, _, _ in case["pairs"]:
        path = family.find(name.removeprefix("lora_unet_"), is_flat=True)
        shape = (8, 8) if path is None else family.shape(path) or (8, 8)
        kernel = [1] * (len(shape) - 2)
        found[f"{name}.lora_down.weight"] = ("F16", [1, *shape[1:]])
        found[f"{name}.lora_up.weight"] = ("F16", [shape[0], 1, *kernel])
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_traced_conversion_agrees(tmp_path: Path, name: str) -> None:
    case = reference.load("conversion_pairs", name)
    is_made = case["header"] not in reference.names("lora_headers")
    family = next((one for start, one in FAMILIES if name.startswith(start)), None)
    path = tmp_path / "a.safetensors"
    made = names_of(family) if is_made and family else None
    write_header(path, tensors_of(case, made))
    if not is_made:
        anatomy = inspect_file(path).anatomy
        assert anatomy is not None
        candidates = [anatomy.base.family] if anatomy.base.family else anatomy.base.candidates
        family = next(one for one in candidates if one)
    assert family is not None
    with WeightFile(path) as file:
        planned = plan(names_of(family), read_sources(file), "diffusers")
    found = {modern(one.name): one.moves for one in planned}
    seen = set()
    for source, target, rows in case["pairs"]:
        (move,) = found[modern(target)]
        assert move.source.name == source_name(source)
        ranges = [[row.begin, row.begin + row.size] for row in move.rows]
        assert ranges == ([] if rows is None else [rows]), target
        seen.add(modern(target))
    assert seen == found.keys()
