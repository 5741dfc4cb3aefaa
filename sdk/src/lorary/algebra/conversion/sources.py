"""Reads the modules of a file: their tensors by role, their factors and their scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorary.algebra.conversion.errors import refuse, refuse_module
from lorary.algebra.files import Array, WeightFile
from lorary.algebra.matrices.gram import with_core
from lorary.algebra.matrices.shapes import pair_shape
from lorary.algebra.scales import alpha_for, configs_for
from lorary.anatomy.claims.config import AdapterConfig, ConfigError, config_beside, embedded_configs
from lorary.anatomy.families import Place
from lorary.anatomy.keys.algorithms import algorithm_title
from lorary.anatomy.keys.tensor_names import Prefix, split_prefix
from lorary.anatomy.modules.adapted import group_names
from lorary.safetensors.tensors import FLOAT_DTYPES

_FACTORS = frozenset({"down", "part_down"}), frozenset({"up", "part_up"})
_PAIR_ROLES = frozenset(
    {"down", "part_down", "up", "part_up", "mid", "alpha", "magnitude", "up_bias"}
)


@dataclass(frozen=True, slots=True)
class Source:
    """A module of a file.

    Attributes:
        prefix: The prefix of its name.
        path: Its name without the prefix.
        part: `denoiser` or a text encoder.
        place: Its entry in the tables, or None.
        tensors: Role to tensor name.
        dialect: How its suffixes are written; None if they don't show it.
        method: Display name of its algorithm.
        shapes: Role to shape.
        alpha: Alpha of a pair of factors; the rank if nothing states another.
    """

    name: str
    prefix: Prefix
    path: str
    part: str
    place: Place | None
    tensors: Mapping[str, str]
    dialect: str | None
    method: str
    shapes: Mapping[str, tuple[int, ...]]
    alpha: float = 1.0

    @property
    def is_pair(self) -> bool:
        """Whether it is a LoRA: two factors, and nothing that the algebra doesn't know."""
        roles = self.tensors.keys()
        return all(roles & factor for factor in _FACTORS) and roles <= _PAIR_ROLES

    @property
    def description(self) -> str:
        """Return the reason for a refusal, without the subject."""
        extra = sorted(self.tensors.keys() - _PAIR_ROLES)
        is_mixed = all(self.tensors.keys() & factor for factor in _FACTORS)
        return f"has a tensor “{extra[0]}”" if is_mixed and extra else f"is {self.method}"

    @property
    def is_part(self) -> bool:
        """Whether it adapts only some rows or columns of its module."""
        return bool(self.tensors.keys() & {"part_up", "part_down"})

    @property
    def down(self) -> str:
        """Role of the down factor."""
        return "down" if "down" in self.tensors else "part_down"

    @property
    def up(self) -> str:
        """Role of the up factor."""
        return "up" if "up" in self.tensors else "part_up"

    @property
    def rank(self) -> int:
        """Rank of a pair."""
        return self.shapes[self.up][1]

    @property
    def rows(self) -> int:
        """Rows of the weight that a pair changes."""
        return self.shapes[self.up][0]

    @property
    def scale(self) -> float:
        """Factor of up · down: alpha / rank."""
        return self.alpha / self.rank


def read_sources(file: WeightFile, *, reads_config: bool = True) -> list[Source]:
    """Return the modules of a file.

    Args:
        reads_config: Whether PEFT's configuration beside the file belongs to it.

    Raises:
        AlgebraError: `not_convertible`; a tensor is not part of an adapter, or a module is broken.
    """
    found = group_names(file.tensors.names)
    for name in (*found.others, *found.shared):
        reason = "is not part of a module of an adapter, so no target can hold it"
        raise refuse_module(name, reason, code="extra_tensors")
    embedded, beside = embedded_configs(file.metadata), _config_beside(file) if reads_config else ()
    names, shapes = file.tensors.names, file.tensors.shapes
    sources = []
    for module in found.modules:
        part, _, _, algorithms, place, _ = module.identity
        prefix, path = split_prefix(module.name)
        dialects = {role.dialect for role in module.roles} - {None, "lycoris"}
        source = Source(
            name=module.name,
            prefix=prefix,
            path=path.replace(".", "_") if prefix.is_flat else path,
            part=part,
            place=place,
            tensors={role: names[index] for role, index in module.indices},
            dialect=next(iter(dialects), None),
            method=algorithm_title(algorithms[0]) if algorithms else "unknown",
            shapes={role: tuple(shapes[index]) for role, index in module.indices},
        )
        if len(source.tensors) < len(module.indices):
            raise refuse_module(module.name, "has two tensors of one kind", code="names_alias")
        if not source.is_pair:
            _check_halves(source)
            sources.append(source)
            continue
        configs = configs_for({source.dialect}, embedded, beside)
        sources.append(_with_alpha(source, file, configs))
    return sources


def _check_halves(source: Source) -> None:
    found = [bool(source.tensors.keys() & factor) for factor in _FACTORS]
    if any(found) and not all(found):
        raise refuse_module(source.name, "has only one of its two factors")


def _config_beside(file: WeightFile) -> Sequence[AdapterConfig]:
    """Return the configuration of PEFT that belongs to the file, if there is one."""
    raw = config_beside(file.path)
    if raw is None:
        return ()
    try:
        return (AdapterConfig.parse(raw),)
    except ConfigError as error:
        message = f"The configuration is refused: {error}."
        raise refuse(message, code="alpha_invalid") from error


def _with_alpha(source: Source, file: WeightFile, configs: Sequence[AdapterConfig]) -> Source:
    _check_shapes(source, file)
    stored = _stored_alpha(source, file) if "alpha" in source.tensors else None
    alpha = alpha_for(source.name, source.rank, stored, configs)
    if not math.isfinite(alpha):
        raise refuse_module(source.name, "has an alpha that is not finite", code="alpha_invalid")
    return replace(source, alpha=alpha)


def _stored_alpha(source: Source, file: WeightFile) -> float:
    name = source.tensors["alpha"]
    tensor = file.tensors[name]
    if math.prod(tensor.shape) != 1 or tensor.dtype == "C64":
        raise refuse_module(
            source.name, "has an alpha that is not one number", code="alpha_invalid"
        )
    return float(file.array(name).reshape(-1)[0])


def _check_shapes(source: Source, file: WeightFile) -> None:
    """Refuse factors that can't be multiplied."""
    down, up = source.shapes[source.down], source.shapes[source.up]
    if pair_shape(up, down, source.shapes.get("mid")) is None:
        raise refuse_module(
            source.name, f"has factors that do not fit: {_shown(down, up)}", code="shape_invalid"
        )
    for role, name in source.tensors.items():
        dtype = file.tensors[name].dtype
        if role != "alpha" and dtype not in FLOAT_DTYPES:
            raise refuse_module(
                source.name,
                f"is stored as {dtype}, which is not a number format of weights",
                code="dtype_unsupported",
            )


def _shown(*shapes: tuple[int, ...]) -> str:
    return " and ".join("×".join(map(str, shape)) or "a number" for shape in shapes)


def factors(source: Source, file: WeightFile) -> tuple[Array, Array]:
    """Return down and up as matrices in their stored format: `(rank, in)` and `(out, rank)`.

    A core of Tucker's form is multiplied into down, in float64.

    Raises:
        AlgebraError: `rank_too_large`.
    """
    down = file.array(source.tensors[source.down])
    up = file.array(source.tensors[source.up])
    if "mid" in source.tensors:
        down = with_core(down, file.array(source.tensors["mid"]))
    return down.reshape(down.shape[0], -1), up.reshape(up.shape[0], -1)
