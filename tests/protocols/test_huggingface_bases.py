"""The names of base models on the Hub, both ways."""

from __future__ import annotations

import pytest

from lorary.anatomy import FAMILIES
from registry.cards import base_models, fields
from registry.cards.base_models import BY_FAMILY, BY_LINEAGE

NAMED = [*((family, "", repo) for family, repo in BY_FAMILY.items()),
         *((*key, repo) for key, repo in BY_LINEAGE.items())]  # fmt: skip


def test_only_families_that_are_known_have_a_base() -> None:
    assert BY_FAMILY.keys() <= FAMILIES.keys()
    assert {family for family, _lineage in BY_LINEAGE} <= BY_FAMILY.keys()


@pytest.mark.parametrize(("family", "lineage", "repo"), NAMED)
def test_a_card_that_names_the_base_of_a_family_means_that_family(
    family: str, lineage: str, repo: str
) -> None:
    assert base_models.base_model(family, lineage) == repo
    said = fields.read(f"---\nbase_model: {repo}\n---\n")
    assert said.family == family
    assert base_models.base_model(family, said.lineage or "") == repo


@pytest.mark.parametrize(
    ("family", "pipeline"),
    [("", "text-to-image"), ("sdxl", "text-to-image"), ("wan_14b", "text-to-video"),
     ("wan_14b_i2v", "image-to-video"), ("kandinsky5_imglite", "text-to-image"),
     ("stable_audio", "text-to-audio")],
)  # fmt: skip
def test_a_family_has_a_kind_of_work(family: str, pipeline: str) -> None:
    assert base_models.pipeline_of(family) == pipeline
    assert family in base_models.families_doing(pipeline)
