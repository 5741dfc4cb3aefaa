"""Files made to break the algebra are refused with a code, or computed right."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorary.algebra.comparing import compare, measure
from lorary.algebra.conversion.converting import convert
from lorary.algebra.errors import ALGEBRA_CODES, AlgebraError
from lorary.algebra.extracting import extract
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, write_weights
from lorary.algebra.merging.merge import MergeSettings, merge
from lorary.algebra.resize import resize_to_rank
from lorary.safetensors import HeaderError
from tests.builders.factors import MODULES, Pair, distance, some_pairs, updates, write_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


PARTS = (
    *SUFFIXES, "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "lokr_w1", "lokr_w1_a",
    "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "scalar", "w_norm", "b_norm",
    "lora_magnitude_vector",
)  # fmt: skip
ALGORITHMS = st.sampled_from(
    [
        ("lora_down.weight", "lora_up.weight", "dora_scale"),
        ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
        ("hada_w1_a", "hada_w1_b", "hada_t1", "hada_w2_a", "hada_w2_b", "hada_t2", "dora_scale"),
        ("lokr_w1", "lokr_w2"),
        ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
        ("diff",),
        ("weight", "on_input"),
    ]
)
MATRICES = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)


@given(
    parts=ALGORITHMS,
    shapes=st.lists(MATRICES, min_size=7, max_size=7),
    value=st.sampled_from([0, 1, 60, 127, 255]),
    more=st.dictionaries(st.sampled_from(PARTS), TENSOR, max_size=2),
)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tensors_are_merged_and_compared_right_or_refused(
    tmp_path: Path,
    parts: tuple[str, ...],
    shapes: list[tuple[int, ...]],
    value: int,
    more: dict[str, tuple[tuple[int, ...], str, int]],
) -> None:
    content = {name: (shape, "F32", value) for name, shape in zip(parts, shapes, strict=False)}
    path, plain = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    plan = {f"m.{part}": _filled(*tensor) for part, tensor in (content | more).items()}
    write_weights(path, plan, {})
    pair = {"m.lora_up.weight": (2, 1), "m.lora_down.weight": (1, 2)}
    write_weights(plain, {name: _filled(shape, "F32", 63) for name, shape in pair.items()}, {})
    base = tmp_path / "base.safetensors"
    write_weights(base, {"m.weight": _filled((2, 2), "F32", 61)}, {})
    out = tmp_path / "out.safetensors"
    out.unlink(missing_ok=True)
    try:
        with np.errstate(all="ignore"):
            merge(
                [path, plain], out, strengths=(2, 1), settings=MergeSettings(max_rank=2, base=base)
            )
            found = [measure(out).total, compare(out, plain).cosine]
    except AlgebraError as error:
        found, code = [], error.code
    else:
        code = ""
    assert not code or code in ALGEBRA_CODES
    assert all(map(math.isfinite, found))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    good = some_pairs(seed=1)
    bad = [pair._replace(up=np.where(pair.up == pair.up.max(), value, pair.up)) for pair in good]
    paths = [write_pairs(tmp_path / str(n), own) for n, own in enumerate((good, bad))]
    weird = write_pairs(tmp_path / "alpha", some_pairs(alpha=value))
    out = tmp_path / "out.safetensors"
    runs: list[Callable[[], object]] = [
        lambda: compare(*paths),
        lambda: resize_to_rank(paths[1], out, rank=1),
        *(
            partial(merge, paths, out, strengths=(1, 1), settings=MergeSettings(**one))
            for one in ({}, {"mode": "linear"}, {"max_rank": 2}, {"mode": "ties"}, {"mode": "dare"})
        ),
    ]
    for run in runs:
        with pytest.raises(AlgebraError) as caught, np.errstate(all="ignore"):
            run()
        assert caught.value.code == "not_finite"
    for run in (
        lambda: compare(paths[0], weird),
        lambda: merge([weird], out, strengths=(1,)),
        lambda: resize_to_rank(weird, out, rank=1),
    ):
        with pytest.raises(AlgebraError) as caught:
            run()
        assert caught.value.code == "alpha_invalid"
    assert not out.exists()


def test_extracted_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    weight = np.ones((8, 8))
    base = write_pairs(tmp_path / "base", [], more={name: weight})
    for value, code in ((math.nan, "not_finite"), (math.inf, "not_finite")):
        tuned = write_pairs(tmp_path / "tuned", [], more={name: weight * value})
        with pytest.raises(AlgebraError) as caught, np.errstate(all="ignore"):
            extract(base, tuned, tmp_path / "out", rank=2)
        assert caught.value.code == code
    empty = write_pairs(tmp_path / "empty", [], more={name: np.ones((0, 8))})
    with pytest.raises(AlgebraError) as caught:
        extract(base, empty, tmp_path / "out", rank=2)
    assert caught.value.code == "names_unknown"


def test_one_file_twice_counts_twice(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs())
    out = merge([path, path], tmp_path / "out.safetensors", strengths=(1, 1)).out.path
    for name, update in updates(path).items():
        assert distance(updates(out)[name], 2 * update) <= 1e-6
    assert compare(path, path).cosine == pytest.approx(1)
    assert max(block.moved for block in compare(path, path).blocks) <= 1


def test_files_without_content_are_refused(tmp_path: Path) -> None:
    good = write_pairs(tmp_path / "good", some_pairs())
    nothing = write_pairs(tmp_path / "nothing", [])
    zero = write_pairs(
        tmp_path / "zero", [Pair("lora_unet_conv1", np.ones((0, 8)), np.ones((8, 0)), 1.0)]
    )
    twice = write_pairs(
        tmp_path / "twice", some_pairs(), more={f"{MODULES[0]}.lora_A.weight": np.ones((4, 20))}
    )
    blank = tmp_path / "blank"
    blank.write_bytes(b"")
    for path, code in (
        (nothing, "not_an_adapter"), (zero, "shape_invalid"), (twice, "names_alias"),
        (blank, "file_empty"),
    ):  # fmt: skip
        for run in (
            partial(merge, [good, path], tmp_path / "out", strengths=(1, 1)),
            partial(merge, [path], tmp_path / "out", strengths=(1,)),
            partial(compare, path, good),
            partial(resize_to_rank, path, tmp_path / "out", rank=1),
            partial(convert, path, to="kohya", out=tmp_path / "out"),
        ):
            with pytest.raises((AlgebraError, HeaderError)) as caught:
                run()
            error = caught.value
            assert isinstance(error, AlgebraError | HeaderError)
            assert error.code in {code, "not_an_adapter"}, run
            is_one_of_two = run.func is compare or (run.func is merge and len(run.args[0]) > 1)
            assert error.detail.startswith(f"{path.name}: ") == is_one_of_two
    assert not (tmp_path / "out").exists()


def test_products_of_small_tensors_cannot_be_large(tmp_path: Path) -> None:
    column, row = np.ones((40_000, 1)), np.ones((1, 40_000))
    loha = dict(zip(("w1_a", "w1_b", "w2_a", "w2_b"), (column, row) * 2, strict=True))
    files = (
        {f"lora_unet_conv1.hada_{role}": one for role, one in loha.items()},
        {"lora_unet_conv1.lokr_w1": column, "lora_unet_conv1.lokr_w2": row},
        {"lora_unet_conv1.lokr_w1": column, "lora_unet_conv1.lokr_w2": column},
        {
            "lora_unet_conv1.lora_down.weight": row,
            "lora_unet_conv1.lora_up.weight": column,
            "lora_unet_conv1.dora_scale": column,
        },
    )
    base = write_pairs(tmp_path / "base", [], more={"conv1.weight": np.ones((4, 4))})
    for more in files:
        path = write_pairs(tmp_path / "a", [], more=more)
        with pytest.raises(AlgebraError) as caught:
            merge(
                [path],
                tmp_path / "out",
                strengths=(1,),
                settings=MergeSettings(max_rank=1, base=base),
            )
        assert caught.value.code in {"rank_too_large", "base_unfit"}


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
