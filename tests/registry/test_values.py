"""Digests of what weights do: kept by number formats and names, changed by all else."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lorary.safetensors import parse_header
from registry.scan import file_scan
from registry.scan.value_digests import MAX_VALUES
from tests.builders.weights import file_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float32]]

UNET = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
HALF, BRAIN = "weights_f16", "weights_bf16"


def random(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) / np.float32(50)


PAIR = {f"{UNET}.lora_A.weight": random(4, 320), f"{UNET}.lora_B.weight": random(320, 4, seed=2)}


def raw(values: NDArray[np.float32], dtype: str) -> bytes:
    """Return numbers as torch converts them: rounded to the nearest."""
    if dtype == "BF16":
        bits = values.astype("<f4").view("<u4").astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return values.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def numbers(data: bytes, dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def told(
    arrays: Arrays, dtype: str = "F32", metadata: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return both digests of a file of these numbers."""
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = {key: json.dumps(value) for key, value in metadata.items()}
    pieces, end = [], 0
    for name, values in arrays.items():
        piece = raw(values, dtype)
        header[name] = {
            "dtype": dtype, "shape": list(values.shape), "data_offsets": [end, end + len(piece)],
        }  # fmt: skip
        end += len(piece)
        pieces.append(piece)
    data = file_of(header, b"".join(pieces))
    found = file_scan.scan_file(io.BytesIO(data), len(data), parse_header(data)).hashes
    return {kind: found[kind] for kind in (HALF, BRAIN)}


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [("F64", [HALF, BRAIN]), ("F32", [HALF, BRAIN]), ("F16", [HALF]), ("BF16", [BRAIN])],
)
def test_a_copy_shares_the_digest_of_its_number_format(dtype: str, kinds: list[str]) -> None:
    single, copy = told(PAIR), told(PAIR, dtype)
    assert [kind for kind in (HALF, BRAIN) if single[kind] == copy[kind]] == kinds


def test_a_copy_of_a_copy_is_known_by_what_the_first_kept() -> None:
    half = {
        name: numbers(raw(array, "F16"), "F16").reshape(array.shape) for name, array in PAIR.items()
    }
    assert told(half, "F16")[BRAIN] == told(half, "BF16")[BRAIN]
    assert told(half, "F16") == told(half, "F32")


def test_numbers_that_fp16_cannot_hold_are_infinite_in_both() -> None:
    large = {name: array * 1e9 for name, array in PAIR.items()}
    assert told(large)[HALF] == told(large)[HALF]
    assert told(large)[BRAIN] == told(large, "BF16")[BRAIN]


def config(alpha: float, **more: object) -> dict[str, object]:
    fields = {"r": 4, "lora_alpha": alpha, **more}
    return {"lora_adapter_metadata": {f"unet.{key}": value for key, value in fields.items()}}


def test_an_alpha_in_the_metadata_counts() -> None:
    assert told(PAIR, metadata=config(8)) != told(PAIR, metadata=config(4))
    assert told(PAIR, metadata=config(4)) == told(PAIR)  # alpha is the rank
    assert told(PAIR, metadata={"ss_network_alpha": 1}) == told(PAIR)  # no loader reads it
    patterns = config(4, alpha_pattern={"attn1.to_q": 8})
    assert told(PAIR, metadata=patterns) != told(PAIR)
    assert told(PAIR, metadata=config(4, use_rslora=True)) == told(PAIR, metadata=config(8))


def test_an_alpha_among_the_tensors_is_one_in_the_metadata() -> None:
    down, up = PAIR.values()
    strong = np.array([8], dtype=np.float32)
    kohya = {f"{KOHYA}.lora_up.weight": up, f"{KOHYA}.lora_down.weight": down}
    assert told(kohya) == told(PAIR)
    with_alpha = told(kohya | {f"{KOHYA}.alpha": strong})
    assert with_alpha == told(PAIR, metadata=config(8))
    assert with_alpha == told({f"{KOHYA}.alpha": strong, **kohya})  # wherever it stands
    assert told(kohya | {f"{KOHYA}.alpha": strong}, "F16")[HALF] == with_alpha[HALF]


def test_the_same_numbers_in_another_place_do_something_else() -> None:
    square = {f"{UNET}.lora_A.weight": random(4, 4), f"{UNET}.lora_B.weight": random(4, 4, seed=2)}
    swapped = dict(zip(square, reversed(square.values()), strict=True))
    assert told(square) != told(swapped)
    down, up = random(4, 8), random(8, 4, seed=2)
    one, other = random(4, 8, seed=3), random(8, 4, seed=4)
    both = {"a.lora_down.weight": down, "a.lora_up.weight": up,
            "b.lora_down.weight": one, "b.lora_up.weight": other}  # fmt: skip
    crossed = {**both, "a.lora_up.weight": other, "b.lora_up.weight": up}
    assert told(both) != told(crossed)


def test_a_layer_may_be_written_as_a_convolution() -> None:
    conv = {name: array.reshape(*array.shape, 1, 1) for name, array in PAIR.items()}
    assert told(conv) == told(PAIR)


def test_lokr_of_two_whole_matrices_ignores_its_alpha() -> None:
    whole = {"a.lokr_w1": random(4, 4), "a.lokr_w2": random(80, 80)}
    alpha = {"a.alpha": np.array([2], dtype=np.float32)}
    assert told(whole | alpha) == told(whole)
    cut = {"a.lokr_w1": random(4, 4), "a.lokr_w2_a": random(80, 2), "a.lokr_w2_b": random(2, 80)}
    assert told(cut | alpha) == told(cut)  # alpha is the rank
    assert told(cut | {"a.alpha": np.array([1], dtype=np.float32)}) != told(cut)


@pytest.mark.parametrize("size", [MAX_VALUES, MAX_VALUES + 1, 5 * MAX_VALUES + 3, 900_000])
def test_any_lasting_change_of_a_large_tensor_is_seen_in_every_format(size: int) -> None:
    values = random(size)
    one = {"a.lora_up.weight": values}
    assert told(one)[HALF] == told(one, "F16")[HALF]
    assert told(one)[BRAIN] == told(one, "BF16")[BRAIN]
    step = -(-size // MAX_VALUES) | 1
    for begin in (0, size // 2, size - step):
        other = values.copy()
        other[begin : begin + step] += 1
        assert told({"a.lora_up.weight": other}) != told(one)
