"""Adapted modules of a file: tensor names grouped, placed and measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from lorary.anatomy.algorithms import order, refine
from lorary.anatomy.columns import Columns, Modules
from lorary.anatomy.conventions import convention_name, naming_style
from lorary.anatomy.families import encoder_index, family_index
from lorary.anatomy.keys import Prefix, Role, split_key, split_prefix
from lorary.anatomy.layers import layer_of
from lorary.anatomy.shapes import Dims, measure
from lorary.safetensors.dtypes import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lorary.anatomy.families import Place
    from lorary.safetensors import Header, TensorInfo

__all__ = ["Module", "Scan", "scan"]

_FLAGS = frozenset({"alpha", "on_input", "scalar", "shira_indices", "supertuning_indices"})
_FLAT_BLOCK = re.compile(r"(.*?(?:blocks?|layers?|refiner))[._](\d+)(?:[._]|$)")
# Tensors that stand beside the modules: banks and projections that all of them share.
_SHARED = frozenset({"base_model", "xlora_classifier"})
_NORM_SCALE = "_norm.scale"


class Module(NamedTuple):
    """One module of the base model that the file adapts.

    A named tuple for the same reason as `TensorInfo`.

    Attributes:
        name: Name in the file, with its prefix.
        part: `denoiser` or a text encoder.
        block: Block of the base model, such as `down_blocks.0`.
        convention: Id of the file convention.
        algorithms: Its methods, the leading one first.
        dims: Sizes of the base weight.
        roles: Role to tensor.
        place: What the tables know under this name, None for nothing.
        layer: Kind of layer: a key of `lorary.anatomy.layers.LAYERS`.
        parameters: Trained numbers: everything but alphas, flags and indices.
    """

    name: str
    part: str
    block: str
    convention: str
    algorithms: tuple[str, ...]
    dims: Dims
    roles: Mapping[str, TensorInfo]
    place: Place | None
    layer: str = "other"
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What the names of a file hold.

    Attributes:
        modules: Adapted modules.
        others: Tensors that no adapter method uses.
        role_tensors: Tensors with a role, alphas left out.
        shared: Tensors of an adapter method that all modules share, such as a vector bank.
    """

    modules: tuple[Module, ...]
    others: Mapping[str, TensorInfo]
    role_tensors: int
    shared: Mapping[str, TensorInfo] = field(default_factory=dict)


_Group = dict[Role, int]  # role to the place of its tensor in the file
_Identity = tuple[str, str, str, tuple[str, ...], "Place | None", str]
_MOST_KEPT = 6_000  # tensors, of the largest adapters; a plan takes a few hundred bytes for each


class _Sketch(NamedTuple):
    """A module before its tensors: its name, what the name tells, and where its tensors are."""

    name: str
    roles: tuple[Role, ...]
    places: list[tuple[str, int]]
    identity: _Identity


class _Pairs(NamedTuple):
    """A plan's modules as columns, when all are plain pairs with the same roles in one order.

    Attributes:
        roles: Names of the roles.
        columns: For each role, what takes the tensors of all modules out of the file's.
        names: Names of the modules.
        identities: Their parts, blocks, conventions, algorithms, places and layers.
    """

    roles: tuple[str, ...]
    columns: tuple[itemgetter[tuple[TensorInfo, ...]], ...]
    names: tuple[str, ...]
    identities: tuple[Sequence[Any], ...]


class _Plan(NamedTuple):
    """How the tensors of a file are grouped, told by their names alone.

    Attributes:
        sketches: The modules.
        pairs: The modules once more as columns, when they can be.
        others: Tensors that no adapter method uses.
        shared: Tensors that all modules share.
        counted: Tensors with a role, alphas left out.
    """

    sketches: list[_Sketch]
    pairs: _Pairs | None
    others: dict[str, int]
    shared: dict[str, int]
    counted: int


def scan(header: Header) -> Scan:
    """Group the tensors of a file by the module that they adapt."""
    names = tuple(header.tensors)
    plan = (_plan if len(names) <= _MOST_KEPT else _plan.__wrapped__)(names)
    tensors = list(header.tensors.values())
    modules = None if plan.pairs is None else _paired(plan.pairs, tensors)
    if modules is None:
        modules = Modules([_module(sketch, tensors) for sketch in plan.sketches])
    return Scan(
        modules,
        {name: tensors[place] for name, place in plan.others.items()},
        plan.counted,
        {name: tensors[place] for name, place in plan.shared.items()},
    )


@lru_cache(maxsize=8)
def _plan(names: tuple[str, ...]) -> _Plan:
    """Cached, because adapters of one trainer and base model have the same names in one order."""
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
    return _Plan(sketches, _pairs(sketches), others, shared, counted)


def _sketch(name: str, group: _Group) -> _Sketch:
    roles = tuple(group)
    places = [(role.name, place) for role, place in group.items()]
    return _Sketch(name, roles, places, _identify(name, roles, is_conv=False))


def _pairs(sketches: Sequence[_Sketch]) -> _Pairs | None:
    roles = tuple(role for role, _ in sketches[0].places) if sketches else ()
    if len(sketches) < 2 or roles not in _PAIRED:
        return None
    if any(tuple(role for role, _ in sketch.places) != roles for sketch in sketches):
        return None
    columns = zip(*([place for _, place in sketch.places] for sketch in sketches), strict=True)
    return _Pairs(
        roles,
        tuple(itemgetter(*column) for column in columns),
        tuple(sketch.name for sketch in sketches),
        tuple(zip(*(sketch.identity for sketch in sketches), strict=True)),
    )


def _sizes(down: tuple[int, ...], up: tuple[int, ...]) -> tuple[Dims, int]:
    """Sizes of a module and its parameters, by the shapes of two matrices."""
    return Dims(up[0], down[1], down[0], is_broken=up[1] != down[0]), prod(down) + prod(up)


# Written out, since a dictionary from pairs of lists takes four times as long.
_PAIRED: Mapping[tuple[str, ...], Callable[[Iterable[Any]], list[dict[str, TensorInfo]]]] = {
    ("down", "up"): lambda rows: [{"down": down, "up": up} for down, up in rows],
    ("down", "up", "alpha"): lambda rows: [
        {"down": down, "up": up, "alpha": alpha} for down, up, alpha in rows
    ],
    ("alpha", "down", "up"): lambda rows: [
        {"alpha": alpha, "down": down, "up": up} for alpha, down, up in rows
    ],
}


def _paired(pairs: _Pairs, tensors: Sequence[TensorInfo]) -> Modules | None:
    """All modules at once, in half the time; None where one of them is no pair of two matrices."""
    found = [column(tensors) for column in pairs.columns]
    by_role = dict(zip(pairs.roles, found, strict=True))
    downs, ups = ([tensor.shape for tensor in by_role[role]] for role in ("down", "up"))
    different = set(zip(downs, ups, strict=True))
    if any(len(down) != 2 or len(up) != 2 for down, up in different):
        return None
    # Thousands of modules have a few different sizes.
    sizes = {pair: _sizes(*pair) for pair in different}
    dims, parameters = zip(*map(sizes.__getitem__, zip(downs, ups, strict=True)), strict=True)
    roles = _PAIRED[pairs.roles](zip(*found, strict=True))
    parts, blocks, conventions, algorithms, places, layers = pairs.identities
    columns = Columns(
        names=pairs.names,
        parts=parts,
        blocks=blocks,
        conventions=conventions,
        algorithms=algorithms,
        dims=dims,
        roles=roles,
        places=places,
        layers=layers,
        parameters=parameters,
    )
    modules = Modules(map(_new_module, zip(*columns, strict=True)))
    modules.columns = columns
    return modules


_new_module: partial[Module] = partial(tuple.__new__, Module)


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


def _module(sketch: _Sketch, tensors: Sequence[TensorInfo]) -> Module:
    name, parts, places, identity = sketch
    roles = {role: tensors[place] for role, place in places}
    dims = measure(roles)
    if dims[3]:
        identity = _identify(name, parts, is_conv=True)
    part, block, convention, algorithms, place, layer = identity
    if algorithms == _OFT:
        blocks = roles.get("oft_blocks")
        if blocks is not None and len(blocks.shape) == 4:
            algorithms = _BOFT  # LyCORIS tells the two by the number of dimensions only
        elif name.startswith("oft_"):
            dims = dims._replace(rank=None)  # kohya trains a number of blocks, not their size
    return Module(
        name, part, block, convention, algorithms, dims, roles, place, layer, _parameters(roles)
    )


def _parameters(roles: Mapping[str, TensorInfo]) -> int:
    count = 0
    for role, (dtype, _, begin, end) in roles.items():
        if role not in _FLAGS:
            count += (end - begin) * 8 // DTYPE_BITS[dtype]
    return count


_OFT = ("oft",)
_BOFT = ("boft",)


@lru_cache(maxsize=8_192)
def _identify(name: str, roles: tuple[Role, ...], is_conv: bool) -> _Identity:  # noqa: FBT001
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


_ENCODER_LEVEL = re.compile(r"^(?:\w+\.)?transformer\.(?!h\.|resblocks\.)")


# Names of what holds the model, in trainers that save their own. `model.layers` is any language
# model's, whose names some denoisers share.
_WRAPPERS = re.compile(
    r"(?:(?:_orig_mod|diffusion_model|dit|model(?!\.layers\.)|module|net|pipe|transformer|unet)\.)+"
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
