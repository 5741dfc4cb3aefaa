"""The family tables hold against the models that diffusers builds, to the last name and shape."""

from __future__ import annotations

import pytest

from lorary.anatomy.families import families
from tests.builders.architectures import MODELS, modules_of

pytestmark = pytest.mark.slow

NOT_BUILT = {
    "anima": "diffusers has no class for it",
    "miniature": "previews/miniature builds it, and its tests hold it to its table",
}


NOT_PROVING = {"omnigen": {"embed_tokens"}}
"""Modules that a table leaves out, because every language model has them by the same name."""


def test_every_family_is_built_or_has_a_reason() -> None:
    assert set(families()) == set(MODELS) | set(NOT_BUILT)


@pytest.mark.parametrize("family", MODELS)
def test_the_table_is_the_model(family: str) -> None:
    modules = modules_of(family)
    namings = families()[family].namings
    table = namings.get("diffusers", namings.get("native", {}))
    other = {path for path, shape in modules.items() if table.get(path) != shape}
    assert other == NOT_PROVING.get(family, set())
    assert table.keys() - modules.keys() == set()
