"""What of a version's files the renderer gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from previews import local_weights
from registry.adapters import services as adapters
from registry.publication import services as publication
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import User, Version

pytestmark = pytest.mark.django_db

TARGETS = DENOISERS["wan_14b", "native"]


def release(ada: User, *names: str) -> Version:
    adapter = adapters.create(actor=ada, name="noir", kind="style")
    sent = [
        catalogue.accept(ada, kohya(TARGETS, rank=4 + number), f"{name}.safetensors")
        for number, name in enumerate(names)
    ]
    return publication.release(actor=ada, adapter=adapter, uploads=sent, details=Details())


def parts(version: Version) -> dict[str, tuple[str, float]]:
    """Part and strength of each layer, by the path of its file."""
    paths = {file.sha256: file.path for file in version.files}
    with local_weights.layers_of(version, 0.8) as layers:
        assert all(layer.path.is_file() for layer in layers)
        return {paths[layer.sha256]: (layer.part, layer.weight) for layer in layers}


def test_both_files_of_a_pair_are_given_with_their_parts(ada: User) -> None:
    assert parts(release(ada, "noir_low", "noir_high")) == {
        "noir_high.safetensors": ("", 0.8),
        "noir_low.safetensors": ("transformer_2", 0.8),
    }


def test_one_half_alone_goes_where_its_name_says(ada: User) -> None:
    assert parts(release(ada, "noir_low_noise")) == {
        "noir_low_noise.safetensors": ("transformer_2", 0.8)
    }


def test_of_several_files_that_are_no_pair_the_primary_one_is_given(ada: User) -> None:
    assert parts(release(ada, "epoch_10", "epoch_20")) == {"epoch_20.safetensors": ("", 0.8)}


def test_of_two_pairs_one_file_is_given(ada: User) -> None:
    names = ("a_high_noise", "a_low_noise", "b_high_noise", "b_low_noise")
    assert parts(release(ada, *names)) == {"b_high_noise.safetensors": ("", 0.8)}
