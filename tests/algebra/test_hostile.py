"""Files made to break the algebra are refused with a code, or computed right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorary.algebra.compare import measure
from lorary.algebra.errors import ALGEBRA_CODES, AlgebraError
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, write_weights
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.resize import resize_to_rank
from tests.builders.factors import Pair, some_pairs, updates, write_pairs

SUFFIXES = (
    "lora_down.weight", "lora_up.weight", "lora_mid.weight", "lora_A.weight", "lora_B.weight",
    "lora_A", "alpha", "dora_scale", "diff", "diff_b", "weight", "hada_w1_a", "on_input",
)  # fmt: skip
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
DTYPES = st.sampled_from(sorted(NUMPY_DTYPES))
TENSOR = st.tuples(SHAPES, DTYPES, st.integers(0, 255))
# Shapes of a LoRA pair, one of which may be something else.
PAIR = st.fixed_dictionaries(
    {"m.lora_down.weight": st.tuples(st.just((2, 3)), st.just("F16"), st.integers(0, 255))}
)
ANY = st.dictionaries(
    st.tuples(st.sampled_from(["m", "m.n", ""]), st.sampled_from(SUFFIXES)).map(".".join),
    TENSOR,
    max_size=5,
)


@given(pair=PAIR, up=st.one_of(st.just((4, 2)), SHAPES), more=ANY)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tensors_are_computed_right_or_refused(
    tmp_path: Path,
    pair: dict[str, tuple[tuple[int, ...], str, int]],
    up: tuple[int, ...],
    more: dict[str, tuple[tuple[int, ...], str, int]],
) -> None:
    content = {"m.lora_up.weight": (up, "F32", 63), **pair, **more}
    plan = {name: _filled(*tensor) for name, tensor in content.items()}
    path = tmp_path / "a.safetensors"
    write_weights(path, plan, {})
    try:
        with np.errstate(all="ignore"):
            total = measure(path).total
            resize_to_rank(path, tmp_path / "out.safetensors", rank=1)
    except AlgebraError as error:
        code = error.code
    else:
        code = ""
    if code:
        assert code in ALGEBRA_CODES
    else:
        assert math.isfinite(total)
        assert total == pytest.approx(sum((one**2).sum() for one in updates(path).values()))


def test_a_plain_pair_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    pair = {"m.lora_up.weight": (4, 2), "m.lora_down.weight": (2, 4)}
    write_weights(path, {name: _filled(shape, "F32", 63) for name, shape in pair.items()}, {})
    update = updates(path)["m"]
    assert measure(path).total == pytest.approx((update**2).sum())
    out = resize_to_rank(path, tmp_path / "out.safetensors", rank=1).out.path
    assert updates(out)["m"] == pytest.approx(update)  # all numbers are equal, so its rank is 1


def _filled(shape: tuple[int, ...], dtype: str, byte: int) -> PlannedTensor:
    size = math.prod(shape) * NUMPY_DTYPES[dtype].itemsize
    return PlannedTensor(dtype, shape, lambda: memoryview(bytes([byte]) * size))


def test_small_files_cannot_make_large_matrices(tmp_path: Path) -> None:
    name = "lora_unet_conv1"
    wide = Pair(name, np.ones((1, 40_000)), np.ones((40_000, 1)), 1.0)
    path = write_pairs(tmp_path / "a.safetensors", [wide])
    assert measure(path).total == pytest.approx(40_000**2)
    with pytest.raises(AlgebraError) as caught:
        merge(
            [path],
            tmp_path / "out.safetensors",
            strengths=(1,),
            settings=MergeSettings(mode="ties"),
        )
    assert caught.value.code == "rank_too_large"
    core = Pair(
        name,
        np.ones((1, 20_000, 1, 1)),
        np.ones((1, 20_000, 1, 1)),
        1.0,
        np.ones((20_000, 1, 1, 1)),
    )
    with pytest.raises(AlgebraError) as caught:
        measure(write_pairs(tmp_path / "b.safetensors", [core]))
    assert caught.value.code == "rank_too_large"


def test_an_alpha_of_zero_changes_nothing(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(alpha=0))
    assert measure(path).total == 0
    out = resize_to_rank(path, tmp_path / "out.safetensors", rank=2).out.path
    assert measure(out).total == 0
