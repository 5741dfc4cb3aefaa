"""Family and lineage of a checkpoint, by its header."""

from __future__ import annotations

import pytest

from lorary.anatomy.base_models.checkpoint_identity import Checkpoint, identify_checkpoint
from lorary.anatomy.claims.lineages import related_lineages
from lorary.anatomy.families import families
from tests.builders import foreign
from tests.builders.modules import Shapes, header

SDXL = foreign.checkpoint("sdxl", "sgm", "model.diffusion_model.")


def identify(
    shapes: Shapes, metadata: dict[str, str] | None = None, *, name: str = "", autov1: str = ""
) -> Checkpoint:
    return identify_checkpoint(header(shapes, metadata or {}), name=name, autov1=autov1)


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux1", "qwen_image", "z_image"])
def test_the_tensors_prove_the_family(family: str) -> None:
    naming = next(iter(families()[family].namings))
    assert identify(foreign.checkpoint(family, naming)).family == family


@pytest.mark.parametrize(
    ("metadata", "name", "autov1", "lineage"),
    [
        ({}, "ponyDiffusionV6XL_v6.safetensors", "", "Pony Diffusion V6 XL"),
        ({}, "waiNSFWIllustrious_v140.safetensors", "", "Illustrious"),
        ({}, "noobaiXLNAIXL_vPred10.safetensors", "", "NoobAI"),
        ({}, "model.safetensors", "E577480D", "Pony Diffusion V6 XL"),
        ({"modelspec.title": "Illustrious-XL-v1.0"}, "a.safetensors", "", "Illustrious"),
        ({"modelspec.title": "Illustrious"}, "ponyMix.safetensors", "", "Illustrious"),
        ({}, "flux1-dev.safetensors", "", None),  # a lineage of another family
        ({}, "notPony.safetensors", "", None),
        ({}, "", "nonsense", None),
    ],
)
def test_hash_metadata_and_name_claim_the_lineage(
    metadata: dict[str, str], name: str, autov1: str, lineage: str | None
) -> None:
    found = identify(SDXL, metadata, name=name, autov1=autov1)
    assert (found.family, found.lineage) == ("sdxl", lineage)


def test_a_file_that_is_no_checkpoint_has_no_family() -> None:
    other: list[Shapes] = [{}, {"a.weight": (9, 8)}, {"unet.down.lora_A.weight": (4, 320)}]
    for shapes in other:
        assert identify(shapes, name="pony.safetensors") == Checkpoint((), None)


def test_names_of_one_lineage_belong_together() -> None:
    assert set(related_lineages("Pony", "sdxl")) == {"Pony", "Pony Diffusion V6 XL"}
    assert set(related_lineages("Pony Diffusion V6 XL", "sdxl")) == {"Pony", "Pony Diffusion V6 XL"}
    assert related_lineages("Illustrious", "sdxl") == ("Illustrious",)
    assert set(related_lineages("SDXL base", "sdxl")) == {"SDXL base", "SDXL 1.0", "SDXL 0.9"}
    assert related_lineages("My own mix", "sdxl") == ("My own mix",)
