"""Names of modules: the tables of every family, and every way between two namings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from lorary.algebra.conversion.planning import Planned, Rows, plan
from lorary.algebra.conversion.sources import Source
from lorary.algebra.naming.relations import FamilyNames, names_of
from lorary.algebra.naming.targets import TARGETS, Component, namings_of, spelled
from lorary.anatomy.families import families
from lorary.anatomy.keys.tensor_names import split_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


class Range(NamedTuple):
    """Rows of a module that are those of another one."""

    place: int
    size: int
    source: str
    begin: int


def ranges_of(planned: Planned) -> list[Range]:
    """Where the rows of a planned module come from."""
    found = []
    for move in planned.moves:
        rows = move.rows or (Rows(0, 0, move.source.rows),)
        found += [Range(one.place, one.size, move.source.name, one.begin) for one in rows]
    return found


def traced(own: Range, moved: Mapping[str, list[Range]]) -> Iterator[Range]:
    """Where rows come from that were moved once before."""
    end = own.begin + own.size
    for other in moved[own.source]:
        first, last = max(own.begin, other.place), min(end, other.place + other.size)
        if first < last:
            place = own.place + first - own.begin
            yield Range(place, last - first, other.source, other.begin + first - other.place)


def is_identity(planned: Planned, found: list[Range]) -> bool:
    """Whether a module has all of its rows at the same place as before."""
    rows = planned.rows or planned.moves[0].source.rows
    path = split_prefix(planned.name)[1]
    is_same = all(one.place == one.begin and split_prefix(one.source)[1] == path for one in found)
    covered = {row for one in found for row in (one.place, one.place + one.size)}
    sizes = sum(one.size for one in found)
    return is_same and sizes == rows and {min(covered), max(covered)} == {0, rows}


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
            gone = plan(names, sources, target)
            there = [rebuilt(one) for one in gone]
            assert None not in {names.locate(one.name, None) for one in there}
            # PEFT's names differ from those of diffusers in their prefix only.
            if target not in {"comfyui", "diffusers"} or naming != namings_of(names, "kohya")[0]:
                continue
            back = plan(names, there, "kohya")
            assert {split_prefix(one.name)[1] for one in back} == before, target
            moved = {one.name: ranges_of(one) for one in gone}
            for one in back:
                found = [range_ for own in ranges_of(one) for range_ in traced(own, moved)]
                assert is_identity(one, found), (target, one.name)


def test_rows_of_a_smaller_model_are_divided_like_those_of_the_table() -> None:
    names = names_of("lumina2")  # query, key and value have 2304, 768 and 768 rows
    pieces = names.pieces("layers.0.attention.qkv") or ()
    assert names.sizes(pieces, 3840, 2304) == [2304, 768, 768]
    assert names.sizes(pieces, 1920, 1152) == [1152, 384, 384]
    assert names.sizes(pieces, 32, 16) == [16, 8, 8]  # the query is square
    assert names.sizes(pieces, 15, 16) is None


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
