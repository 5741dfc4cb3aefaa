"""What errors of denoising tell, and the noise in predictions of each kind."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from previews.render.lineage.denoising import PREDICTIONS, Scene, _Base
from previews.render.lineage.verdict import (
    ALIKE,
    FEWEST,
    LEVELS,
    MOST,
    SEEDS,
    SIGNIFICANCE,
    Measured,
    chance,
    judge,
)

if TYPE_CHECKING:
    from previews.render.engine import Engine
    from previews.render.lineage.verdict import Errors

#: Errors of one base: they differ by picture and by level, as real ones do.
_PICTURES = np.linspace(0.5, 2, 6)[:, None, None]
_LEVELS = np.geomspace(0.9, 0.01, len(LEVELS))[None, :, None]
ERRORS: Errors = _PICTURES * _LEVELS * np.ones(len(SEEDS))


def measured(name: str, factors: Any, lineage: str = "") -> Measured:
    """A base whose error is a multiple of the first one's, by picture."""
    return Measured(name, lineage or name, ERRORS * np.reshape(factors, (-1, 1, 1)))


def test_the_base_with_smaller_errors_is_identified() -> None:
    worse = measured("b", [1.02, 1.03, 1.025, 1.02, 1.03, 1.025])
    for bases in ([measured("a", 1), worse], [worse, measured("a", 1)]):
        found = judge(bases)
        assert (found.lineage, found.best) == ("a", "a")
        assert found.differences["b"].difference == pytest.approx(0.025, abs=1e-4)
        assert found.differences["b"].standard_error == pytest.approx(0.0018, abs=2e-4)
        assert found.differences["b"].is_significant
        best = found.differences["a"]
        assert (best.difference, best.is_significant) == (0, False)


@pytest.mark.parametrize(
    "factors",
    [
        pytest.param(1, id="equal"),
        pytest.param(1 + ALIKE / 2, id="nearly equal, whatever the error"),
        pytest.param([1.2, 0.9, 1.1, 0.95, 1.2, 0.85], id="better for some pictures"),
        pytest.param([1.0, 1.0, 1.0, 1.0, 1.0, 1.3], id="because of one picture"),
    ],
)
def test_what_is_not_significant_identifies_nothing(factors: Any) -> None:
    found = judge([measured("a", 1), measured("b", factors)])
    assert found.lineage == ""
    assert not any(one.is_significant for one in found.differences.values())


def test_bases_of_one_lineage_are_not_compared() -> None:
    pony, again, xl = measured("p", 1, "Pony"), measured("q", 1, "Pony"), measured("x", 1.05, "XL")
    assert judge([pony, again, xl]).lineage == "Pony"
    assert judge([pony, again, measured("x", 1, "XL")]).lineage == ""


def test_a_third_base_that_is_as_good_leaves_it_open() -> None:
    found = judge([measured("a", 1), measured("b", 1.001), measured("c", 1.1)])
    assert found.lineage == ""
    assert {name for name, one in found.differences.items() if one.is_significant} == {"c"}


def test_few_pictures_need_a_clearer_difference() -> None:
    factors = [1.02, 1.04, 1.03]
    assert judge([measured("a", [1] * 6), measured("b", factors * 2)]).lineage == "a"
    few = [Measured(one.base, one.lineage, one.errors[:3])
           for one in (measured("a", 1), measured("b", factors * 2))]  # fmt: skip
    assert judge(few).lineage == ""


@pytest.mark.parametrize(
    ("quantile", "degrees"),
    [(12.706, 1), (4.303, 2), (3.182, 3), (2.776, 4), (2.571, 5), (2.447, 6), (2.365, 7)],
)
def test_the_probability_is_that_of_students_t(quantile: float, degrees: int) -> None:
    assert chance(quantile, 1, degrees) == pytest.approx(0.05, abs=5e-5)
    assert chance(0, 0, degrees) == 1
    assert chance(1, 0, degrees) == pytest.approx(0, abs=1e-12)


def test_five_equal_bases_differ_as_rarely_as_two() -> None:
    random, trials = np.random.default_rng(7), 500
    shape = (5, MOST, len(LEVELS), len(SEEDS))

    def differs() -> bool:
        drawn = np.exp(random.normal(0, 0.05, (*shape[:2], 1, 1))) * np.ones(shape)
        found = judge([Measured(str(name), str(name), one) for name, one in enumerate(drawn)])
        return any(one.is_significant for one in found.differences.values())

    assert sum(differs() for _ in range(trials)) / trials < 2 * SIGNIFICANCE


@pytest.mark.parametrize("pictures", [FEWEST - 1, MOST + 1])
def test_other_numbers_of_pictures_are_not_judged(pictures: int) -> None:
    errors = np.ones((pictures, len(LEVELS), len(SEEDS)))
    with pytest.raises(ValueError, match="cannot be compared"):
        judge([Measured("a", "a", errors), Measured("b", "b", errors)])


@pytest.mark.parametrize("prediction", sorted(PREDICTIONS))
def test_each_kind_of_prediction_is_turned_into_the_noise(prediction: str) -> None:
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    kept = 0.3
    signal, spread = kept**0.5, (1 - kept) ** 0.5
    right = {
        "epsilon": noise,
        "v_prediction": signal * noise - spread * latents,
        "sample": latents,
    }

    class Pipeline:
        def unet(self, *_given: Any, **_conditions: Any) -> tuple[torch.Tensor]:
            return (right[prediction],)

    base = _Base(Pipeline(), prediction, {"encoder_hidden_states": latents})
    found = base.noise_in(signal * latents + spread * noise, 700, kept)
    assert torch.allclose(found, noise, atol=1e-5)


def test_each_picture_has_noise_of_its_own(engine: Engine) -> None:
    one, same, other = (png("red", text) for text in ("a", "a", "b"))
    scenes = [Scene(picture, "a cat") for picture in (one, same, other)]
    found = engine.denoise("tiny", [], scenes, (64, 64), lambda: None).errors
    assert np.array_equal(found[0], found[1])
    assert not np.isclose(found[0], found[2]).any()


def png(colour: str, text: str) -> bytes:
    """Return a file whose bytes depend on a text, and its picture on the colour alone."""
    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("Comment", text)
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
