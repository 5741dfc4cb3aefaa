"""What a sweep says of strengths, from pictures whose change is known."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from previews.demo import catalogue
from previews.render import Layer, load_bases
from previews.render.defaults import default_recipe
from previews.render.engine import Engine
from previews.render.output.strength_advice import METHOD, Advice, Side, advise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    Pixels = npt.NDArray[np.floating]

PROMPTS, SEEDS = (0, 1), (7, 21)
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def scene(*numbers: int) -> Pixels:
    """A picture of rough blocks, another for each number."""
    blocks = np.random.default_rng(numbers).uniform(40, 215, (16, 16, 3))
    return np.kron(blocks, np.ones((16, 16, 1)))


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def brighter(share: float) -> Callable[[Pixels, float], Pixels]:
    """The picture with all values nearer to white by a share of the way; edges stay."""
    return lambda pixels, strength: pixels + (255 - pixels) * share * strength


def sweep(
    change: Callable[[Pixels, float], Pixels],
    strengths: Sequence[float] = QUARTERS,
    seeds: Sequence[int] = SEEDS,
) -> Iterator[tuple[tuple[int, int, float], bytes]]:
    for prompt, seed, strength in itertools.product(PROMPTS, seeds, strengths):
        yield (prompt, seed, strength), png(change(scene(prompt, seed), strength))


def advice(
    change: Callable[[Pixels, float], Pixels], strengths: Sequence[float] = QUARTERS
) -> Advice:
    said = advise(sweep(change, strengths))
    assert said is not None
    return said


def above(change: Callable[[Pixels, float], Pixels], strengths: Sequence[float] = QUARTERS) -> Side:
    side = advice(change, strengths).positive
    assert side is not None
    return side


def dialled(side: Side) -> list[float]:
    return list(side.suggested or ())


def test_a_change_in_a_straight_line_begins_at_a_fifth_of_the_seeds_and_is_never_full() -> None:
    said = advice(brighter(0.5))
    distances = dict(said.distances)
    assert distances[0] == 0
    assert distances[1] == pytest.approx(4 * distances[0.25], abs=0.5)
    assert said.positive is not None
    assert said.positive.begins == pytest.approx(said.seed_distance / 5 / distances[1], abs=0.02)
    assert (said.positive.saturates, said.positive.breaks) == (None, None)
    assert dialled(said.positive) == pytest.approx([0.5, 1], abs=0.02)


def test_a_change_that_stops_is_full_there() -> None:
    side = above(lambda pixels, strength: brighter(0.9)(pixels, min(strength, 0.5)))
    assert side.saturates == pytest.approx(0.5)
    assert side.breaks is None
    assert dialled(side) == pytest.approx([0.25, 1], abs=0.02)


def test_a_change_that_is_all_there_at_once_is_full_at_the_first_strength() -> None:
    side = above(lambda pixels, strength: brighter(0.9)(pixels, 1.0 if strength else 0.0))
    assert side.begins is not None
    assert side.begins < 0.1
    assert side.saturates == pytest.approx(0.25)


def test_a_change_that_starts_late_begins_late() -> None:
    side = above(lambda pixels, strength: brighter(0.9)(pixels, max(0.0, strength - 0.5)))
    assert side.begins is not None
    assert 0.5 < side.begins < 0.75


def test_an_adapter_that_does_nothing_has_no_range() -> None:
    assert above(brighter(0.02)) == Side(None, None, None, None, 1.0)


def test_it_breaks_where_the_outlines_move() -> None:
    def change(pixels: Pixels, strength: float) -> Pixels:
        moved = np.roll(pixels, 8, axis=(0, 1)) if strength > 1 else pixels
        return brighter(0.8)(moved, min(strength, 0.5))

    side = above(change, (0, 0.5, 1, 1.5, 2))
    assert side.breaks is not None
    assert 1 < side.breaks < 1.5
    assert dialled(side)[1] == side.breaks


def test_a_picture_that_goes_flat_has_lost_its_outlines() -> None:
    def change(pixels: Pixels, strength: float) -> Pixels:
        return (
            np.full_like(pixels, 200) if strength > 1 else brighter(0.8)(pixels, min(strength, 0.5))
        )

    side = above(change, (0, 0.5, 1, 1.5))
    assert side.breaks is not None
    assert 1 < side.breaks < 1.5


def test_both_sides_of_a_slider_are_judged_alone() -> None:
    def change(pixels: Pixels, strength: float) -> Pixels:
        return brighter(0.8)(pixels, strength) if strength > 0 else pixels * (1 + strength / 20)

    said = advice(change, (-1, -0.5, 0, 0.5, 1))
    assert said.negative == Side(None, None, None, None, -1.0)
    assert said.positive is not None
    assert said.positive.begins is not None
    assert [strength for strength, _ in said.distances] == [-1, -0.5, 0, 0.5, 1]


def test_a_mirrored_sweep_has_mirrored_advice() -> None:
    def change(pixels: Pixels, strength: float) -> Pixels:
        return brighter(0.9)(pixels, min(abs(strength), 0.5))

    said = advice(change, (-1, -0.75, -0.5, -0.25, 0))
    there, here = above(change), said.negative
    assert said.positive is None
    assert here is not None
    assert there.saturates is not None
    assert here.saturates == -there.saturates
    assert dialled(here) == [-value for value in dialled(there)[::-1]]


@pytest.mark.parametrize(
    ("strengths", "seeds"),
    [((0.0, 0.5, 1.0), (7,)), ((0.5, 1.0), SEEDS), ((0.0, 1.0), SEEDS), ((-1.0, 0, 1.0), SEEDS)],
    ids=["one seed", "no control", "one strength", "one strength a side"],
)
def test_a_sweep_that_is_too_small_says_nothing(
    strengths: tuple[float, ...], seeds: tuple[int, ...]
) -> None:
    assert advise(sweep(brighter(0.5), strengths, seeds)) is None
    assert advise([]) is None


def test_a_seed_that_lacks_pictures_is_left_out() -> None:
    whole = list(sweep(brighter(0.5)))
    more = [*whole, ((0, 99, 0.0), png(scene(5)))]
    assert advise(more) == advise(whole)


def test_size_does_not_matter() -> None:
    def larger(data: bytes) -> bytes:
        return png(np.kron(np.asarray(Image.open(io.BytesIO(data))), np.ones((2, 2, 1))))

    pictures = list(sweep(brighter(0.5)))
    assert advise((key, larger(data)) for key, data in pictures) == advise(pictures)


@pytest.mark.slow
def test_a_demo_style_begins_is_full_and_may_come_apart_in_this_order() -> None:
    style = next(one for one in catalogue() if one.name == "gold")
    bases = load_bases()
    usual = default_recipe(bases.get("miniature"), "style")
    recipe = dataclasses.replace(
        usual,
        prompts=usual.prompts[:1],
        strengths=tuple(quarter / 4 for quarter in range(9)),
    )
    shown = Engine(bases).render(recipe, [Layer(style.path)], triggers=style.entry["trigger_words"])
    said = advise((picture.shot.key, picture.png) for picture in shown)
    assert said is not None
    assert said.positive is not None
    begins, full, breaks = said.positive.begins, said.positive.saturates, said.positive.breaks
    assert begins is not None
    assert full is not None
    assert 0 < begins < 0.5
    assert begins < full < 1.5
    assert breaks is None or full < breaks
    assert begins <= dialled(said.positive)[0] < full


def test_the_document_is_plain_json() -> None:
    document = json.loads(json.dumps(advice(brighter(0.5)).to_dict()))
    assert set(document) == {"positive", "negative", "distances", "seed_distance", "method"}
    assert set(document["positive"]) == {"begins", "saturates", "breaks", "suggested", "ends"}
    assert document["method"] == METHOD
    assert document["distances"][0] == [0, 0]
