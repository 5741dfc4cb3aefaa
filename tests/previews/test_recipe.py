"""Recipes as values: digests, limits, trigger words."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from previews.render import Recipe, RecipeInvalid, load_bases
from previews.render.defaults import default_prompts, default_recipe
from previews.render.pictures import control_document
from previews.render.recipe import MAX_TRIGGERS, digest_of, picture_count, with_triggers
from registry.models import Kind


def recipe(**changes: Any) -> Recipe:
    said: dict[str, Any] = {
        "base": "tiny", "prompts": ("a cat", "a house"), "seeds": (1, 2),
        "strengths": (0.0, 1.0), "steps": 8, "guidance": 2.5, "width": 128, "height": 64,
    }  # fmt: skip
    return Recipe(**(said | changes))


def test_a_recipe_survives_json() -> None:
    one = recipe(negative="dull", sampler="DDIMScheduler", prompts=("ein Häuschen",))
    assert Recipe.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_the_digest_is_of_the_canonical_text() -> None:
    assert recipe().digest == recipe().digest
    assert recipe().digest != recipe(steps=9).digest
    whole = recipe().to_dict() | {"guidance": 2.5, "strengths": [0, 1]}
    assert Recipe.from_dict(whole).digest == recipe().digest


def test_the_digest_never_changes() -> None:
    """Stored renders are found by it."""
    assert recipe().digest == "60e5a74dad89a69ac4055a0f812ea85471879d7b7762fea80dfec408e52dea6b"


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": ()},
        {"prompts": ("a", "a")},
        {"prompts": ("x" * 2001,)},
        {"negative": "x" * 2001},
        {"seeds": (-1,)},
        {"seeds": (2**32,)},
        {"seeds": tuple(range(17))},
        {"strengths": (11.0,)},
        {"strengths": (float("nan"),)},
        {"steps": 0},
        {"guidance": float("inf")},
        {"width": 100},
        {"height": 8192},
        {"trigger": "middle"},
        {"plain": ("a cat",)},
        {"plain": ("x" * 2001, "a")},
        {"swept": 3, "at": 1.0},
        {"swept": 1, "at": 0.5},
        {"at": 1.0},
        {"edition": -1},
    ],
)
def test_values_outside_the_limits_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeInvalid):
        recipe(**changes)


@pytest.mark.parametrize(
    "document",
    [{}, {"prompts": 3}, recipe().to_dict() | {"more": 1}, recipe().to_dict() | {"seeds": ["x"]}],
)
def test_documents_that_are_no_recipes_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(RecipeInvalid):
        Recipe.from_dict(document)


def test_pictures_come_strength_by_strength_with_the_same_words() -> None:
    shots = recipe().shots(["ink"])
    assert [shot.position for shot in shots] == list(range(8))
    assert [shot.strength for shot in shots] == [0.0] * 4 + [1.0] * 4
    assert [shot.seed for shot in shots[:4]] == [1, 2, 1, 2]
    for control, full in zip(shots[:4], shots[4:], strict=True):
        assert dataclasses.replace(full, strength=0.0, position=control.position) == control
    assert shots[0].prompt == "ink, a cat"


def test_prompts_after_the_swept_ones_have_one_seed_and_two_strengths() -> None:
    strengths = (0.0, 0.5, 1.0)
    one = recipe(prompts=("a", "b", "c"), strengths=strengths, swept=1, at=0.5)
    keys = [shot.key for shot in one.shots()]
    swept = {(0, seed, strength) for seed in (1, 2) for strength in strengths}
    assert set(keys) == swept | {(n, 1, at) for n in (1, 2) for at in (0.0, 0.5)}
    assert [shot.strength for shot in one.shots()] == sorted(key[2] for key in keys)
    assert [shot.position for shot in one.shots()] == list(range(10))
    assert Recipe.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frames": 9},
        {"swept": 1, "at": 1.0},
        {"swept": 2, "at": 1.0},
        {"swept": 1, "at": 0.5, "strengths": (0.5, 1.0)},
    ],
)
def test_a_document_tells_the_number_of_its_pictures(changes: dict[str, Any]) -> None:
    one = recipe(**changes)
    assert picture_count(one.to_dict()) == len(one.shots())


def test_a_control_is_the_same_in_every_recipe() -> None:
    one, other = recipe(), recipe(swept=1, at=1.0, edition=2)
    documents = [control_document(each, each.shots()[0]) for each in (one, other)]
    assert documents[0] == documents[1]
    assert len(Recipe.from_dict(documents[0]).shots()) == 1


@pytest.mark.parametrize(
    ("prompt", "words", "place", "result"),
    [
        ("a cat", ["ink"], "front", "ink, a cat"),
        ("a cat", ["ink"], "end", "a cat, ink"),
        ("a cat", ["ink"], "none", "a cat"),
        ("a cat", [], "front", "a cat"),
        ("a cat", [" neon   glow ,", ""], "front", "neon glow, a cat"),
        ("a cat, Ink wash", ["ink wash"], "front", "a cat, Ink wash"),
        ("a pink cat", ["ink"], "front", "ink, a pink cat"),
        ("a cat", ["ink", "INK", "ink wash"], "front", "ink, ink wash, a cat"),
        ("a {trigger} in a meadow", ["zorbi creature"], "front", "a zorbi creature in a meadow"),
        ("a {trigger} in a meadow", [], "end", "a in a meadow"),
        ("{trigger}", ["c++ (old)"], "none", "c++ (old)"),
    ],
)
def test_trigger_words_are_put_in_once(
    prompt: str, words: list[str], place: Any, result: str
) -> None:
    assert with_triggers(prompt, words, place) == result


def test_only_the_first_trigger_words_are_used() -> None:
    words = [f"word{number}" for number in range(9)]
    assert with_triggers("a cat", words, "end").count("word") == MAX_TRIGGERS


def test_the_miniature_has_prompts_of_its_own() -> None:
    base = load_bases().get("miniature")
    other = dataclasses.replace(base, family="sdxl")
    assert "{trigger}" in default_recipe(base, "character").prompts[0]
    assert default_recipe(base, "tool").prompts == default_recipe(base, "style").prompts
    assert default_recipe(base, "style").prompts != default_recipe(other, "style").prompts


@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize("family", ["miniature", "sdxl"])
def test_every_kind_has_a_default_recipe_of_twenty_pictures(kind: str, family: str) -> None:
    base = dataclasses.replace(load_bases().get("miniature"), family=family)
    one = default_recipe(base, kind)
    assert len(one.shots()) == 20
    assert len(one.prompts) == 6
    assert (one.swept, one.at) == (1, 1.0)
    assert one.strengths == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert default_recipe(base, kind).digest == one.digest


@pytest.mark.parametrize(
    ("recommended", "at"), [(None, 1.0), (0.8, 0.75), (0.05, 0.25), (1.0, 1.0), (3.0, 1.0)]
)
def test_other_prompts_are_rendered_near_the_recommended_strength(
    recommended: float | None, at: float
) -> None:
    base = load_bases().get("miniature")
    assert default_recipe(base, "style", recommended=recommended).at == at


#: Digest of the default prompts and the form of the recipe, by edition.
EDITIONS = {3: "ba337612918fec50707719a5ffdf6ba71c8fa3202305067ea8529e58f31d1e55"}


def test_other_prompts_are_another_edition() -> None:
    """Pictures of one edition are compared: raise ``edition`` in recipes.toml with any change."""
    base = load_bases().get("miniature")
    one = default_recipe(base, "style")
    prompts = {
        family: {kind: default_prompts(family, kind) for kind in Kind.values}
        for family in ("miniature", "sdxl")
    }
    form = {"seeds": one.seeds, "strengths": one.strengths, "swept": one.swept}
    assert digest_of({"prompts": prompts, **form}) == EDITIONS[one.edition]
