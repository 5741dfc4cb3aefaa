"""Names of modules that don't depend on how a file spells them.

    lora_unet_double_blocks_0_img_attn_qkv    →  three weights: to_q, to_k and to_v of block 0
    transformer.transformer_blocks.0.attn.to_q  →  the first of them

Denoisers are named like the hub of their family's namings (`naming.relations`), which splits every
fused projection. Other modules keep their own name in a flattened form, so that dots and
underscores make no difference. Text encoders have the same names everywhere; their sizes tell them
apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lorary.algebra.naming.relations import FamilyNames, Pieces, names_of
from lorary.algebra.recognition.signs import key_of
from lorary.anatomy.base_models.survey import survey
from lorary.anatomy.families import FAMILIES
from lorary.anatomy.keys.tensor_names import split_prefix
from lorary.anatomy.modules.adapted import NamedModule, group_names, scan
from lorary.safetensors import Header

_DENOISER = "denoiser"


class Weight(NamedTuple):
    """A weight of the base model that a module adapts: some of the module's rows.

    Attributes:
        key: Hash of its name and shape.
    """

    key: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class CanonicalModule:
    """A module of a file.

    Attributes:
        name: Its name in the file.
        tensors: Role to tensor name.
        out: Rows of the weight.
        fan_in: Columns of the flattened weight.
        weights: The canonical weights in its rows.
    """

    name: str
    tensors: Mapping[str, str]
    out: int
    fan_in: int
    weights: tuple[Weight, ...]


def canonical_modules(header: Header) -> Iterator[CanonicalModule]:
    """Yield the modules of a header whose sizes its tensors show."""
    modules = scan(header).modules
    grouped = group_names(tuple(header.tensors))
    if not grouped.modules:
        return
    names = _names(survey(modules).fitting, grouped.modules)
    for named, module in zip(grouped.modules, modules, strict=True):
        tensors = {role: grouped.names[index] for role, index in named.indices}
        out, fan_in = module.dims.out, module.dims.fan_in
        if out and fan_in and not module.dims.is_broken and len(tensors) == len(named.indices):
            weights = _weights(named, names, out, fan_in, is_part="part_up" in tensors)
            yield CanonicalModule(named.name, tensors, out, fan_in, tuple(weights))


def _names(fitting: Mapping[str, int], modules: Sequence[NamedModule]) -> FamilyNames | None:
    """Return the namings of the family that has the most of a file's modules, None if none has any.

    Sizes count; without a family of these sizes, names alone do, as for a smaller model of the same
    design. Families that share all of a file's modules have the same names for them.
    """
    best = max(fitting, key=fitting.__getitem__, default=None)
    if best is not None and fitting[best]:
        return names_of(best)
    paths = [(one.name, one.identity[4]) for one in modules if one.identity[0] == _DENOISER]
    counts = Counter(
        {
            family: sum(names_of(family).locate(*path) is not None for path in paths)
            for family in FAMILIES
        }
        if paths
        else {}
    )
    best, count = counts.most_common(1)[0] if counts else ("", 0)
    return names_of(best) if count else None


def _weights(
    named: NamedModule, names: FamilyNames | None, out: int, fan_in: int, *, is_part: bool
) -> Iterator[Weight]:
    part, place = named.identity[0], named.identity[4]
    if part == _DENOISER and names is not None:
        path = names.locate(named.name, place)
        pieces = names.pieces(path) if path is not None else None
        if pieces is not None:
            own = pieces[:3] if is_part else pieces  # XLabs adapts query, key and value alone
            sizes = names.sizes(own, out, fan_in)
            if sizes:
                yield from _of_pieces(own, sizes, fan_in)
                return
    path = place.path if place is not None else split_prefix(named.name)[1]
    # transformers 5 dropped this level.
    text = path.replace(".", "_").removeprefix("text_model_")
    kind = part if part == _DENOISER else "text_encoder"
    yield Weight(key_of(f"{kind} {text} {out}x{fan_in}"), 0, out)


def _of_pieces(pieces: Pieces, sizes: Sequence[int], fan_in: int) -> Iterator[Weight]:
    begin = 0
    for piece, size in zip(pieces, sizes, strict=True):
        text = piece.module.replace(".", "_")
        if piece.parts > 1:
            text += f" {piece.part}/{piece.parts}"
        yield Weight(key_of(f"{_DENOISER} {text} {size}x{fan_in}"), begin, begin + size)
        begin += size
