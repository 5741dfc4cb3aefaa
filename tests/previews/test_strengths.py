"""How far sweeps reach: as far as the creator recommends, on both sides of 0 for sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from previews import tasks  # noqa: F401 - registers the handlers of jobs
from previews.covers.selectors import covers_of
from previews.recipes.selectors import recipe_for
from previews.render import load_bases
from previews.render.defaults import default_recipe
from previews.renders.selectors import previews_of
from registry.cards import services as cards
from registry.jobs import worker_process
from registry.versions.details import Details
from tests import catalogue
from training.miniature.tiny import write_tiny_lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import Adapter, User, Version

USUAL = (0, 0.25, 0.5, 0.75, 1)
SIGNED = (-1, -0.5, 0, 0.5, 1)


@pytest.mark.parametrize(
    ("reach", "strengths"),
    [
        ((0, 0), USUAL),
        ((0, 0.6), USUAL),
        ((0, 1), USUAL),
        ((0, 1.1), (*USUAL, 1.25, 1.5)),
        ((0, 1.5), (*USUAL, 1.25, 1.5)),
        ((0, 1.6), (*USUAL, 1.5, 2)),
        ((0, 9), (*USUAL, 1.5, 2)),
        ((-1, 1), SIGNED),
        ((-0.2, 1), SIGNED),
        ((-1, 0), SIGNED),
        ((-0.4, 0.3), (-0.4, -0.2, 0, 0.2, 0.4)),
        ((-7, 7), (-2, -1, 0, 1, 2)),
    ],
)
def test_a_sweep_reaches_as_far_as_is_recommended(
    reach: tuple[float, float], strengths: tuple[float, ...]
) -> None:
    assert (
        default_recipe(load_bases().get("miniature"), "style", reach=reach).strengths == strengths
    )


@pytest.fixture
def release(
    served: None, noir: Adapter, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> Callable[..., Version]:
    """Publish a version whose creator recommends strengths; what follows a commit happens."""

    def release(seed: int = 1, **said: Any) -> Version:
        data = write_tiny_lora(tmp_path / f"{seed}.safetensors", seed=seed).read_bytes()
        details = Details(declared_family="miniature", **said)
        with django_capture_on_commit_callbacks(execute=True):
            return catalogue.release(noir, data, details)

    return release


def asked(version: Version) -> tuple[float, ...]:
    """Strengths of the newest render."""
    render = version.renders.select_related("recipe").first()
    assert render is not None
    assert render.recipe is not None
    return tuple(render.recipe.document["strengths"])


@pytest.mark.django_db
def test_an_adapter_tagged_slider_is_shown_on_both_sides(
    release: Callable[..., Version], noir: Adapter, ada: User
) -> None:
    version = release()
    assert asked(version) == USUAL
    cards.edit_adapter(actor=ada, adapter=noir, tags=["slider", "detail"])
    recipe = recipe_for(version)
    assert recipe is not None
    assert recipe.strengths == SIGNED


@pytest.mark.django_db
def test_a_tag_goes_as_far_below_0_as_is_recommended_above(
    release: Callable[..., Version], noir: Adapter, ada: User
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, tags=["slider"])
    assert asked(release(strength=1, strength_min=0, strength_max=2)) == (-2, -1, 0, 1, 2)


@pytest.mark.django_db
def test_a_version_that_reaches_farther_takes_the_others_along(
    release: Callable[..., Version],
) -> None:
    first = release(1, strength=0.8)
    assert asked(first) == USUAL
    second = release(2, strength=1, strength_min=-1, strength_max=1)
    assert asked(first) == asked(second) == SIGNED
    third = release(3, strength=0.5)
    assert asked(third) == SIGNED


@pytest.mark.django_db
def test_another_recommendation_is_followed(
    release: Callable[..., Version], ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = release(1, strength=0.8), release(2)
    details = Details(declared_family="miniature", strength=1.2)
    with django_capture_on_commit_callbacks(execute=True):
        cards.edit_version(actor=ada, version=second, details=details)
    assert asked(first) == asked(second) == (*USUAL, 1.25, 1.5)


@pytest.mark.django_db
def test_other_prompts_follow_the_recommended_strength(
    release: Callable[..., Version], ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    first = release(1, strength=0.6)
    render = first.renders.get()
    assert render.recipe is not None
    assert render.recipe.document["at"] == 0.5
    worker_process.drain("render.miniature")
    with django_capture_on_commit_callbacks(execute=True):
        details = Details(declared_family="miniature", strength=0.9)
        cards.edit_version(actor=ada, version=first, details=details)
    newest = first.renders.select_related("recipe").first()
    assert newest is not None
    assert newest.recipe is not None
    assert newest.recipe.document["at"] == 1.0


@pytest.mark.django_db
def test_a_signed_sweep_is_rendered_measured_and_covered(
    release: Callable[..., Version], noir: Adapter
) -> None:
    version = release(strength=0.6, strength_min=-1, strength_max=1)
    worker_process.drain("render.miniature")
    found = previews_of(version)
    assert (found.state, found.done) == ("ready", 20)
    assert {picture.strength for picture in found.images} == set(SIGNED)
    assert found.advice["negative"]["ends"] == -1
    assert found.advice["positive"]["ends"] == 1
    noir.refresh_from_db()
    [cover] = covers_of([noir]).values()
    assert cover is not None
    assert cover.strength == 0.5
