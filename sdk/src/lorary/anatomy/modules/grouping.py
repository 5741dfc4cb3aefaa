"""What the names of a file's tensors tell of its modules, whatever their shapes are.

Kept for a few files, because adapters of one trainer and base model have the same names in one
order: a hub sees the same few thousand names again and again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lorary.anatomy.families import encoder_index, family_index
from lorary.anatomy.keys.algorithms import order, refine
from lorary.anatomy.keys.conventions import convention_name, naming_style
from lorary.anatomy.keys.layers import layer_of
from lorary.anatomy.keys.tensor_names import Prefix, Role, split_key, split_prefix
from lorary.anatomy.modules.module_table import Columns, Groups, grouped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lorary.anatomy.families import Place

__all__ = ["Identity", "Pairs", "Plan", "Sketch", "identify", "plan"]

_FLAT_BLOCK = re.compile(r"(.{0,512}?(?:blocks?|layers?|refiner))[._](\d{1,512})(?:[._]|$)")
# Tensors that stand beside the modules: banks and projections that all of them share.
_SHARED = frozenset({"base_model", "xlora_classifier"})
_NORM_SCALE = "_norm.scale"
_PAIRED = frozenset({("down", "up"), ("down", "up", "alpha"), ("alpha", "down", "up")})

Identity = tuple[str, str, str, tuple[str, ...], "Place | None", str]
"""Part, block, convention, algorithms, place and layer of a module."""

_Group = dict[Role, int]  # role to the place of its tensor in the file
_MOST_KEPT = 6_000  # tensors, of the largest adapters; a plan takes a few hundred bytes for each


class Sketch(NamedTuple):
    """A module before its tensors: its name, what the name tells, and where its tensors are."""

    name: str
    roles: tuple[Role, ...]
    places: list[tuple[str, int]]
    identity: Identity


class Pairs(NamedTuple):
    """Modules as columns, when all are plain pairs with the same roles in one order.

    Attributes:
        places: Role to the places of its tensors in the file.
        columns: The modules' fields, but for those that need the tensors.
        groups: Those that are alike.
    """

    places: Mapping[str, tuple[int, ...]]
    columns: Columns
    groups: Groups


class Plan(NamedTuple):
    """How the tensors of a file are grouped, told by their names alone.

    Attributes:
        names: Names of all tensors.
        sketches: The modules.
        pairs: The modules once more as columns, when they can be.
        others: Tensors that no adapter method uses.
        shared: Tensors that all modules share.
        counted: Tensors with a role, alphas left out.
    """

    names: tuple[str, ...]
    sketches: list[Sketch]
    pairs: Pairs | None
    others: dict[str, int]
    shared: dict[str, int]
    counted: int


def plan(names: tuple[str, ...]) -> Plan:
    """Group the tensors of a file by the module that they adapt."""
    return (_plan if len(names) <= _MOST_KEPT else _plan.__wrapped__)(names)


@lru_cache(maxsize=8)
def _plan(names: tuple[str, ...]) -> Plan:
    groups: dict[str, _Group] = {}
    others: dict[str, int] = {}
    counted = 0
    for place, key in enumerate(names):
        split = split_key(key)
        if split is None:
            others[key] = place
            continue
        name, role = split
        group = groups.get(name)
        if group is None:
            groups[name] = {role: place}
        else:
            group[role] = place
        counted += role.algorithm is not None
    if others and counted:
        counted += _adopt(groups, others)
    shared = _set_shared_apart(groups)
    sketches = [_sketch(*entry) for entry in groups.items()]
    return Plan(names, sketches, _pairs(sketches), others, shared, counted)


def _sketch(name: str, group: _Group) -> Sketch:
    roles = tuple(group)
    places = [(role.name, place) for role, place in group.items()]
    return Sketch(name, roles, places, identify(name, roles, is_conv=False))


def _pairs(sketches: Sequence[Sketch]) -> Pairs | None:
    roles = tuple(role for role, _ in sketches[0].places) if sketches else ()
    if len(sketches) < 2 or roles not in _PAIRED:
        return None
    if any(tuple(role for role, _ in sketch.places) != roles for sketch in sketches):
        return None
    found = zip(*([place for _, place in sketch.places] for sketch in sketches), strict=True)
    identities: Any = zip(*(sketch.identity for sketch in sketches), strict=True)
    parts, blocks, conventions, algorithms, places, layers = identities
    columns = Columns(
        names=tuple(sketch.name for sketch in sketches),
        parts=parts,
        blocks=blocks,
        conventions=conventions,
        algorithms=algorithms,
        places=places,
        layers=layers,
    )
    groups = grouped(columns, [roles] * len(sketches))
    return Pairs(dict(zip(roles, found, strict=True)), columns, groups)


def _adopt(groups: dict[str, _Group], others: dict[str, int]) -> int:
    """Take tensors with plain names for what they are beside adapter tensors.

    The `.weight` beside an `.on_input` is the (IA)³ vector; bare scales of query and key norms
    belong to FLUX control LoRAs, which replace them.
    """
    adopted = 0
    for name, group in groups.items():
        if any(role.name == "on_input" for role in group):
            vector = others.pop(f"{name}.weight", None)
            if vector is not None:
                group[_VECTOR] = vector
                adopted += 1
    scales = [key for key in others if key.endswith(_NORM_SCALE)]
    for key in scales:
        groups.setdefault(key.removesuffix(".scale"), {})[_SCALE] = others.pop(key)
    return adopted + len(scales)


_VECTOR = Role("vector", "ia3", "lycoris")
_SCALE = Role("scale", "bfl-control", None)


def _set_shared_apart(groups: dict[str, _Group]) -> dict[str, int]:
    """Take out what all modules share, unless nothing else is there."""
    names = _SHARED.intersection(groups)
    if not names or len(names) == len(groups):
        return {}
    return {
        f"{name}.{role.name}": place
        for name in sorted(names)
        for role, place in groups.pop(name).items()
    }


@lru_cache(maxsize=8_192)
def identify(name: str, roles: tuple[Role, ...], is_conv: bool) -> Identity:  # noqa: FBT001
    """Part, block, convention, algorithms, place and layer of a module.

    Cached, because modules repeat from file to file with the same tensors.
    """
    prefix, path, part, block, place, style = _locate(name)
    algorithms, dialect = _signature(roles)
    convention = convention_name(prefix, dialect, style)
    has_core = any(role.name == "mid" for role in roles)
    algorithms = refine(algorithms, path, convention, is_conv=is_conv, has_core=has_core)
    return part, block, convention, algorithms, place, _layer(name, roles, is_conv=is_conv)


def _layer(name: str, roles: tuple[Role, ...], *, is_conv: bool) -> str:
    if any(role.name == "diff_m" for role in roles):
        return "modulation"
    found = layer_of(name)
    return "conv" if is_conv and found in {"attention", "other"} else found


@lru_cache(maxsize=512)
def _signature(roles: tuple[Role, ...]) -> tuple[tuple[str, ...], str | None]:
    """Algorithms and dialect that a set of suffixes shows; files repeat a few sets."""
    shown = {role.algorithm for role in roles if role.algorithm is not None}
    dialects = [role.dialect for role in roles if role.dialect is not None]
    # LyCORIS' suffixes for magnitudes and differences stand beside everybody's pairs.
    telling = [dialect for dialect in dialects if dialect != "lycoris"] or dialects
    return order(shown), telling[0] if telling else None


def _locate(name: str) -> tuple[Prefix, str, str, str, Place | None, str]:
    """Prefix, path, part, block, place and naming style of a module."""
    prefix, path = split_prefix(name)
    if prefix.is_flat:
        path = path.replace(".", "_")  # some files mix the prefix of one with the dots of another
    elif prefix.convention == "comfyui" and prefix.part != "denoiser":
        path = _ENCODER_LEVEL.sub("", path)
    part, place = _place(prefix, path)
    block = _block(path) if place is None else place.block
    style = naming_style(path, None if place is None else place.naming)
    return prefix, path, part, block if part == "denoiser" else part, place, style


_ENCODER_LEVEL = re.compile(r"^(?:\w{1,512}\.)?transformer\.(?!h\.|resblocks\.)")


# Names of what holds the model, in trainers that save their own. `model.layers` is any language
# model's, whose names some denoisers share.
_WRAPPERS = re.compile(
    r"(?:(?:_orig_mod|diffusion_model|dit|model(?!\.layers\.)|module|net|pipe|transformer|unet)\.)"
    r"{1,256}"
)


def _place(prefix: Prefix, path: str) -> tuple[str, Place | None]:
    if prefix.part != "denoiser":
        place = encoder_index().find(path, is_flat=prefix.is_flat)
        if place is None and path[:6] in {"model.", "model_"}:  # inside its language model
            place = encoder_index().find(path[6:], is_flat=prefix.is_flat)
        return prefix.part, place
    place = family_index().find(path, is_flat=prefix.is_flat)
    if place is None and ".to." in path:  # some trainers of Z-Image write `to.q`
        place = family_index().find(path.replace(".to.", ".to_"), is_flat=False)
    if place is None and prefix.convention in {"peft", "bare"}:
        encoder = encoder_index().find(path, is_flat=False)
        if encoder is not None:
            return "text_encoder", encoder
        wrapper = _WRAPPERS.match(path)
        if wrapper is not None:
            place = family_index().find(path[wrapper.end() :], is_flat=False)
    return "denoiser", place


_STACK = re.compile(r"(?:^|\.)(\w{0,64}?(?:blocks?|layers?|refiner)|h)\.(\d{1,5})(?:\.|$)")


def _block(path: str) -> str:
    """Block of a module that no table has: `layers.3` of `model.layers.3.self_attn.q_proj`."""
    if path.startswith("mid_block_"):
        return "mid_block"
    if "." not in path:
        found = _FLAT_BLOCK.match(path)
        return f"{found[1]}.{found[2]}" if found else path
    first, _, rest = path.partition(".")
    second = rest.partition(".")[0]
    if second.isdigit():
        return f"{first}.{second}"
    found = None if "block" in first else _STACK.search(path)
    return f"{found[1]}.{found[2]}" if found else first
