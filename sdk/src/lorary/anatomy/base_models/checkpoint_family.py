"""What the tensors of a file that is no adapter prove about its base model.

A checkpoint, a ControlNet and a ControlNet-LLLite repeat layers of the base model (`copies`): the
same tables are asked in the same way as for an adapter. Other kinds fasten to it (`attachments`).
Nothing is said of a VAE or a text encoder alone, which several base models share.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.base_models.ambiguity import is_cut_short
from lorary.anatomy.base_models.attachments import attached, twin_of
from lorary.anatomy.base_models.copied_layers import copied
from lorary.anatomy.base_models.narrowing import Evidence, listed, narrow_by_claim
from lorary.anatomy.base_models.proof import Proof, prove
from lorary.anatomy.base_models.survey import survey
from lorary.anatomy.families import families, family_index, family_title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lorary.anatomy.base_models.ambiguity import Confidence, Extent
    from lorary.anatomy.base_models.survey import Survey
    from lorary.anatomy.claims.base_models import Claims
    from lorary.anatomy.families import Family
    from lorary.anatomy.modules.adapted import Module
    from lorary.safetensors import TensorInfo

__all__ = ["Foreign", "prove_foreign"]

_SHARD = re.compile(r"-\d{5}-of-\d{5}(?:\.|$)")
_MAY_LACK = 0.05  # of a model's layers: FLUX.1 schnell has no guidance
# The first and the last layer, which follow the number of channels: inpainting, depth, control.
_EDGES = re.compile(
    r"(?:conv_(?:in|out)|input_blocks\.0\.0|out\.2|(?:all_)?x_embedder|img_in|patch(?:ify)?_(?:embed"
    r"(?:ding)?|proj)|pos_embed\.proj|proj_(?:in|out)|visual_embeddings|(?:all_)?final_layer"
    r"|head\.head|out_layer)(?:\.|$)"
)


class Foreign(NamedTuple):
    """What was found out about a file that is no adapter.

    Attributes:
        proof: What its tensors allow.
        modules: Layers of the base model that it repeats.
    """

    proof: Proof
    modules: tuple[Module, ...]


def prove_foreign(
    kind: str, tensors: Mapping[str, TensorInfo], claims: Claims, name: str = ""
) -> Foreign:
    """Find the families that a file which is no adapter can belong to.

    Args:
        kind: What the file is.
        tensors: Its tensors.
        claims: What its metadata says about the base model.
        name: The file's name, which tells a part of a model from a smaller one.
    """
    modules = copied(kind, tensors)
    if modules:
        extent = _EXTENTS.get(kind, _of_part)
        if kind == "checkpoint" and _SHARD.search(name):
            extent = _of_shard
        proof = _prove(modules, claims, extent)
        if kind == "checkpoint":
            proof = _with_twin(proof, modules, claims)
        return Foreign(proof, modules)
    fit = attached(kind, tensors)
    if fit is None:
        return Foreign(Proof((), "unknown" if claims.first is None else "claimed", ()), ())
    evidence = [fit.evidence]
    left = narrow_by_claim(list(fit.families), claims, evidence)
    confidence: Confidence = "proven" if fit.is_proven else "narrowed"
    proof = Proof(tuple(left), confidence, tuple(evidence), allowed=tuple(fit.families))
    return Foreign(proof, ())


def _prove(modules: tuple[Module, ...], claims: Claims, extent: Extent) -> Proof:
    """The proof of all layers, or where they leave no family, of all but the first and last."""
    proof = _attempt(modules, claims, extent)
    inner = [module for module in modules if not _is_edge(module)]
    edges = [module for module in modules if _is_edge(module)]
    if not inner or not edges or (proof.family is not None and not proof.strays):
        return proof
    other = _attempt(inner, claims, extent)
    if other.family is None and proof.candidates:
        return proof
    return _of_other_channels(other, edges)


def _attempt(modules: Sequence[Module], claims: Claims, extent: Extent) -> Proof:
    proof = prove(modules, claims, extent=extent)
    return _of_several(proof, modules, extent) if len(proof.candidates) > 1 else proof


def _of_other_channels(proof: Proof, edges: Sequence[Module]) -> Proof:
    if not proof.candidates:
        return proof
    bits = sum(family_index().bits[name] for name in proof.candidates)
    other = [module for module in edges if not _fitting(module) & bits] or edges
    text = f"`{other[0].name}` has another number of channels, as for inpainting or control."
    reason = Evidence("channels", text, tuple(module.name for module in other[:5]))
    return replace(proof, evidence=(*proof.evidence, reason))


def _of_several(proof: Proof, modules: Sequence[Module], extent: Extent) -> Proof:
    """Believe of several families only those of which the file may be."""
    seen, known = survey(modules), families()
    doubts = {name: extent(known[name], seen) for name in proof.candidates}
    kept = [name for name, doubt in doubts.items() if doubt is None]
    if not kept:
        return proof  # doubted already
    if extent is _of_whole:
        kept = [name for name in kept if not _inner_missing(name, seen)] or kept
    rest = [name for name in proof.candidates if name not in kept]
    if not rest:
        return proof
    lacking = _inner_missing(rest[0], seen)
    text = f"A whole model is here, and {listed(rest, 'or')} would have more: `{lacking[0]}`."
    evidence = (*proof.evidence, Evidence("cover", text))
    allowed = tuple(name for name in proof.allowed if name not in rest)
    return replace(proof, candidates=tuple(kept), evidence=evidence, allowed=allowed)


def _inner_missing(name: str, seen: Survey) -> list[str]:
    """Layers of a family that a file has not, but for the first and the last."""
    return [path for path in seen.missing(name) if not _EDGES.match(path)]


def _with_twin(proof: Proof, modules: Sequence[Module], claims: Claims) -> Proof:
    """Add the family that has the same denoiser, when the rest of it lies in another file."""
    if len(proof.candidates) != 1:
        return proof
    shapes = {m.place.path: m.roles["base"].shape for m in modules if m.place is not None}
    fit = twin_of(proof.candidates[0], shapes)
    if fit is None:
        return proof
    evidence = [*proof.evidence, fit.evidence]
    left = narrow_by_claim(list(fit.families), claims, evidence)
    allowed = tuple(fit.families)
    return Proof(tuple(left), "narrowed", tuple(evidence), proof.strays, allowed=allowed)


def _is_edge(module: Module) -> bool:
    return module.place is not None and _EDGES.match(module.place.path) is not None


def _fitting(module: Module) -> int:
    place, dims = module.place, module.dims
    return 0 if place is None else place.weights.fitting(dims.out, dims.fan_in)


def _of_whole(family: Family, seen: Survey) -> tuple[Confidence, Evidence] | None:
    """Doubt a model that lacks layers: a smaller one of the same design, or a piece."""
    found = _of_part(family, seen)
    if found is not None:
        return found
    missing, whole = seen.missing(family.id), family.namings[seen.naming(family.id)]
    if len(missing) <= _MAY_LACK * len(whole) and seen.ends_with(family):
        return None
    text = (
        f"{len(missing):,} of the {len(whole):,} layers of {family_title(family.id)} are not here: "
        "a smaller model of the same design looks like this."
    )
    return "unknown", Evidence("smaller", text, tuple(missing)[:5])


def _of_part(family: Family, seen: Survey) -> tuple[Confidence, Evidence] | None:
    """Doubt a model that has a layer of its own between the first and the last."""
    bit = family_index().bits[family.id]
    odd = [m for group in seen.groups if not group.bits & bit for m in group.modules[:1]]
    odd = [module for module in (*odd, *seen.strangers) if not _is_edge(module)]
    if not odd:
        return None
    text = (
        f"`{odd[0].name}` is not that of {family_title(family.id)}: another model of the same "
        "design looks like this."
    )
    return "unknown", Evidence("other", text, tuple(module.name for module in odd[:5]))


def _of_shard(family: Family, seen: Survey) -> tuple[Confidence, Evidence | None] | None:
    """Doubt a numbered piece of a model as an adapter, which may leave out layers, too."""
    return _of_part(family, seen) or is_cut_short(family, seen)


_EXTENTS: Mapping[str, Extent] = {"checkpoint": _of_whole}
