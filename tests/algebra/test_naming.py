"""Names of modules: the tables of every family, and every way between two namings."""

from __future__ import annotations

import pytest

from lorary.algebra.conversion.planning import Planned, plan
from lorary.algebra.conversion.sources import Source
from lorary.algebra.naming.relations import FamilyNames, names_of
from lorary.algebra.naming.targets import TARGETS, Component, namings_of, spelled
from lorary.anatomy.families import families
from lorary.anatomy.keys.tensor_names import split_prefix

FAMILIES = tuple(families())

NAMELESS = {
    "framepack": {"clean_x_embedder", "image_projection"},  # only in diffusers' code
    "kolors": {"encoder_hid_proj"},  # ComfyUI has no name for it
}
"""Family to the modules that only its hub has."""

OTHER_WIDTH = {("lumina2", "cap_embedder.1"), ("cosmos_predict2_2b", "x_embedder.proj.1")}
"""Modules with other inputs in the tables: diffusers' default configuration differs."""


def source_of(name: str, rows: int = 4, width: int = 4) -> Source:
    """A module of rank 1, by its name in a file."""
    prefix, path = split_prefix(name)
    tensors = {"down": f"{name}.lora_down.weight", "up": f"{name}.lora_up.weight"}
    shapes = {"down": (1, width), "up": (rows, 1)}
    return Source(name, prefix, path, prefix.part, None, tensors, "kohya", "LoRA", shapes)


def sources_of(names: FamilyNames, naming: str) -> list[Source]:
    """All modules of a naming, as kohya's scripts or the target's tool would spell them."""
    sources = []
    for path, pieces in names.namings[naming].items():
        if ":" in path:
            continue
        counts = [names.rows(piece) or 4 for piece in pieces]
        shape = names.shape(path) or (sum(counts), 4)
        sources.append(source_of(f"lora_unet_{path.replace('.', '_')}", sum(counts), shape[1]))
    return sources


def rebuilt(planned: Planned) -> Source:
    """A source for a planned module, as it would be read from the new file."""
    width = planned.moves[0].source.shapes["down"][1]
    source = source_of(planned.name, planned.rows or planned.moves[0].source.rows, width)
    is_text = source.part != "denoiser"
    assert not is_text
    return source


@pytest.mark.parametrize("family", FAMILIES)
def test_every_module_of_a_table_is_related_to_the_same_rows(family: str) -> None:
    names = names_of(family)
    for naming, modules in names.family.namings.items():
        known = names.namings[naming]
        assert known.keys() == modules.keys()
        for path, shape in modules.items():
            pieces = known[path]
            assert names.pieces(path) == pieces, path
            rows = [names.rows(piece) for piece in pieces]
            if None not in rows:
                assert sum(map(int, filter(None, rows))) == shape[0], path
            whole = names.shape(pieces[0].module)
            if whole is not None and (family, path) not in OTHER_WIDTH:
                assert whole[1:] == shape[1:], path


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_has_one_place_in_every_naming(family: str) -> None:
    names = names_of(family)
    every = {piece for pieces in names.namings[names.hub].values() for piece in pieces}
    for naming, modules in names.namings.items():
        pieces = [piece for own in modules.values() for piece in own]
        assert len(pieces) == len(set(pieces)), naming
        missing = {piece.module.split(".")[0] for piece in every.difference(pieces)}
        assert missing <= NAMELESS.get(family, set()), naming


@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_between_two_namings_leads_back(family: str) -> None:
    names = names_of(family)
    for naming in names.namings:
        sources = [
            source
            for source in sources_of(names, naming)
            if not any(word in source.path for word in NAMELESS.get(family, ()))
        ]
        before = {one.path for one in sources}
        for target in TARGETS:
            there = [rebuilt(one) for one in plan(names, sources, target)]
            # Anima's text conditioner is a component of its own for diffusers and PEFT.
            own = [one for one in there if not one.path.startswith("text_conditioner.")]
            assert len(own) == len(there) or family == "anima"
            assert None not in {names.find(one.path, is_flat=one.prefix.is_flat) for one in own}
            if target not in {"kohya", "comfyui"} or naming not in namings_of(names, "kohya"):
                continue
            back = {split_prefix(one.name)[1] for one in plan(names, there, "kohya")}
            assert back == before, target


def test_a_text_encoder_has_the_name_of_its_place() -> None:
    one = Component("text_encoder", "clip_l")
    path = "text_model.encoder.layers.0.mlp.fc1"
    options = {"is_alone": False, "is_only": False}
    flat = path.replace(".", "_")
    assert spelled("kohya", one, path, **options) == f"lora_te1_{flat}"
    assert spelled("kohya", one, path, is_alone=False, is_only=True) == f"lora_te_{flat}"
    assert spelled("diffusers", one, path, **options) == f"text_encoder.{path}"
    assert spelled("comfyui", one, path, **options) == f"text_encoders.clip_l.transformer.{path}"
    assert spelled("peft", one, path, **options) == f"text_encoder.base_model.model.{path}"
    assert spelled("peft", one, path, is_alone=True, is_only=True) == f"base_model.model.{path}"


def test_the_denoiser_of_a_unet_has_another_name() -> None:
    assert names_of("sdxl").denoiser == "unet"
    assert names_of("flux1").denoiser == "transformer"
