"""Groups the tensors of an adapter into modules of two factors.

Names, roles and alphas are read by `lorary.anatomy`. A module is exact if its update is
scale · up · down: LoRA and LoCon of any convention, also with a Tucker core. All other algorithms
are refused here, by name and with the reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lorary.algebra.errors import AlgebraError, naming
from lorary.algebra.files import WeightFile
from lorary.algebra.matrices.gram import Factors, Matrix, with_core
from lorary.algebra.matrices.shapes import pair_shape
from lorary.algebra.scales import Configs, alpha_for, configs_for
from lorary.anatomy.claims.config import (
    AdapterConfig,
    ConfigError,
    config_beside,
    embedded_configs,
    require_file,
)
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.keys.algorithms import algorithm_title
from lorary.anatomy.modules.adapted import group_names, scan
from lorary.replacing import StrPath
from lorary.safetensors.tensors import FLOAT_DTYPES

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module
    from lorary.safetensors.tensors import TensorInfo

_DOWNS = ("down", "part_down", "embedding_down")
_UPS = ("up", "part_up", "embedding_up")
_FACTOR_ROLES = frozenset({*_DOWNS, *_UPS, "mid", "alpha"})
# Differences of single vectors beside the factors.
VECTOR_ROLES = frozenset({"diff_b", "diff_m", "w_norm", "b_norm"})
_EXACT = frozenset({"lora", "locon", "bias", "norm", "modulation"})

_ON_BASE = "its update depends on the weights of the base model"
_REASONS: Mapping[str, str] = {
    "adalora": "its singular values are a third factor; save it as LoRA first",
    "bfl-control": "it also replaces weights of the base model",
    "boft": _ON_BASE,
    "dora": _ON_BASE,
    "full": "it has whole weights instead of factors",
    "glora": _ON_BASE,
    "hra": _ON_BASE,
    "ia3": _ON_BASE,
    "loha": "it is a product of two updates, whose exact factors have the square of its rank",
    "lokr": "it is a Kronecker product, whose exact factors are as large as the weight",
    "oft": _ON_BASE,
}
_OTHER_REASON = "its update is not the product of two factors"


@dataclass(frozen=True, slots=True)
class AdaptedModule:
    """A module of an adapter.

    Attributes:
        name: Name in the file, with its prefix.
        part: `denoiser` or a text encoder.
        block: Block of the base model.
        convention: Id of the file convention.
        tensors: Role (`down`, `up`, `mid`, `alpha`, …) to the name of its tensor.
        shape: Shape of the update, `(out, in, *kernel)`.
        dtype: Number format of `up`, or of the largest tensor.
    """

    name: str
    part: str
    block: str
    convention: str
    tensors: Mapping[str, str]
    shape: tuple[int, ...]
    dtype: str

    @property
    def out(self) -> int:
        """Rows of the update."""
        return self.shape[0]

    @property
    def fan_in(self) -> int:
        """Columns of the flattened update."""
        return math.prod(self.shape[1:])


@dataclass(frozen=True, slots=True)
class FactorModule(AdaptedModule):
    """A module whose update is scale · up · down.

    Attributes:
        rank: Inner size of the factors.
        scale: alpha / rank, or alpha / √rank of rank-stabilised files; 1 without an alpha.
    """

    rank: int
    scale: float


@dataclass(frozen=True, slots=True)
class WholeModule(AdaptedModule):
    """A module whose update is not the product of two factors, so that it is formed whole.

    Attributes:
        compute: Returns the update, `(out, fan_in)`.
        most_rank: A limit of the rank of the update, from the sizes of its tensors.
    """

    compute: Callable[[], Matrix]
    most_rank: int


ReadWhole = Callable[[WeightFile, "Module", Mapping[str, str], Configs], WholeModule | None]
"""Takes a file, a module, role to tensor name, and PEFT's configurations; None if unable."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """The modules of an open file.

    Attributes:
        modules: Name to module, in the file's order.
        others: Tensors outside the factors: differences of biases and norms, and unknown names.
        wholes: Name to module without factors; empty unless the caller can read such modules.
        vectors: Those of `others` that are differences of biases and norms.
    """

    file: WeightFile
    modules: Mapping[str, FactorModule]
    others: tuple[str, ...]
    wholes: Mapping[str, WholeModule] = field(default_factory=dict)
    vectors: frozenset[str] = frozenset()

    @property
    def all_modules(self) -> Mapping[str, AdaptedModule]:
        """All modules by name."""
        return {**self.modules, **self.wholes}

    def factors(self, module: FactorModule) -> Factors:
        """Return the factors of a module in double precision.

        A Tucker core is multiplied into `down`, which is exact: the rank stays.

        Raises:
            AlgebraError: `rank_too_large`.
        """
        up = _matrix(self.file, module, "up")
        down = _matrix(self.file, module, "down")
        if "mid" in module.tensors:
            core = self.file.array(module.tensors["mid"])
            with naming(module.name):
                down = with_core(down, core).reshape(module.rank, module.fan_in)
        return Factors(up, down, module.scale)


def _matrix(file: WeightFile, module: FactorModule, role: str) -> Matrix:
    array = file.array(module.tensors[role])
    matrix: Matrix = array.reshape(array.shape[0], -1).astype(np.float64)
    return matrix


@contextmanager
def open_adapter(path: StrPath, read_whole: ReadWhole | None = None) -> Iterator[Adapter]:
    """Open a file with its `adapter_config.json`, if it has one beside it.

    Args:
        read_whole: Reads modules without an exact form of two factors, which are refused otherwise.

    Raises:
        AlgebraError: It isn't a LoRA adapter, or has modules without an exact form.
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """
    path = Path(path)
    require_file(path)
    raw = config_beside(path)
    try:
        config = None if raw is None else AdapterConfig.parse(raw)
    except ConfigError as error:
        message = f"The adapter_config.json beside the file can't be read: {error}."
        raise AlgebraError(message, code="alpha_invalid") from error
    with WeightFile(path) as file:
        yield read_adapter(file, config, read_whole)


def read_adapter(
    file: WeightFile, config: AdapterConfig | None = None, read_whole: ReadWhole | None = None
) -> Adapter:
    """Return the modules of an open file.

    Args:
        config: The `adapter_config.json` beside it.
        read_whole: As in `open_adapter`.

    Raises:
        AlgebraError: It isn't a LoRA adapter, or has modules without an exact form.
    """
    embedded, beside = embedded_configs(file.metadata), () if config is None else (config,)
    names = file.tensors.names
    grouped = group_names(names)
    modules: dict[str, FactorModule] = {}
    wholes: dict[str, WholeModule] = {}
    others = [*grouped.others, *grouped.shared]
    vectors: set[str] = set()
    for named, module in zip(grouped.modules, scan(file.header).modules, strict=True):
        roles = _role_names(module, [(role, names[index]) for role, index in named.indices])
        configs = configs_for({role.dialect for role in named.roles}, embedded, beside)
        beside_factors = [
            name
            for role, name in roles.items()
            if role in VECTOR_ROLES or (role == "diff" and len(file.tensors[name].shape) == 1)
        ]
        vectors.update(beside_factors)
        if len(beside_factors) == len(roles):
            others += beside_factors
        elif _inexact(module, roles) is not None:
            if module.convention == "peft":  # other suffixes than LoRA's don't show it
                configs = configs_for({"peft"}, embedded, beside)
            whole = None if read_whole is None else read_whole(file, module, roles, configs)
            if whole is None:
                raise _no_factors(module, roles)
            wholes[module.name] = whole
            others += beside_factors
        elif has_factors(roles):
            modules[module.name] = _factor_module(file, module, roles, configs)
            others += beside_factors
        elif set(roles) != {"alpha"}:  # loaders skip an alpha without factors
            others += roles.values()
    if not modules and not wholes:
        message = "The file has no module with LoRA factors."
        raise AlgebraError(message, code="not_an_adapter")
    return Adapter(file, modules, tuple(others), wholes, frozenset(vectors))


def has_factors(roles: Mapping[str, str]) -> bool:
    """Return whether a module has factors, not only differences of vectors."""
    return "up" in roles or "down" in roles


def exact_roles(module: Module, indexed: list[tuple[str, str]]) -> dict[str, str]:
    """Return role to tensor name, with the same names for the factors of all dialects.

    Raises:
        AlgebraError: Two tensors have one role, or the module has no exact form.
    """
    roles = _role_names(module, indexed)
    if _inexact(module, roles) is not None:
        raise _no_factors(module, roles)
    return roles


def _role_names(module: Module, indexed: list[tuple[str, str]]) -> dict[str, str]:
    renamed = [
        ("down" if role in _DOWNS else "up" if role in _UPS else role, name)
        for role, name in indexed
    ]
    counts = Counter(role for role, _ in renamed)
    role = max(counts, key=counts.__getitem__)
    if counts[role] > 1:
        twice = " and ".join(f"“{clean(name)}”" for own, name in renamed if own == role)
        message = f"{twice} are the same tensor of the module “{clean(module.name)}”."
        raise AlgebraError(message, code="names_alias", module=module.name, role=role)
    return dict(renamed)


def _inexact(module: Module, roles: Mapping[str, str]) -> tuple[str | None, str] | None:
    """Return the algorithm without an exact form, and the reason; None for an exact module."""
    unfit = [name for name in module.algorithms if name not in _EXACT]
    if unfit:
        return unfit[0], _REASONS.get(unfit[0], _OTHER_REASON)
    unknown = [role for role in roles if role not in _FACTOR_ROLES | VECTOR_ROLES]
    return (None, f"it has a tensor “{unknown[0]}” beside its factors") if unknown else None


def _no_factors(module: Module, roles: Mapping[str, str]) -> AlgebraError:
    algorithm, reason = _inexact(module, roles) or (None, _OTHER_REASON)
    title = "LoRA" if algorithm is None else algorithm_title(algorithm)
    message = f"The module “{clean(module.name)}” is {title}: {reason}."
    return AlgebraError(message, code="no_factors", module=module.name, algorithm=algorithm)


def _factor_module(
    file: WeightFile,
    module: Module,
    roles: Mapping[str, str],
    configs: Configs,
) -> FactorModule:
    shape, rank = sizes_of(file.tensors, module, roles)
    tensors = {role: name for role, name in roles.items() if role in {"down", "up", "mid", "alpha"}}
    require_floats(file, module.name, tensors)
    return FactorModule(
        module.name,
        module.part,
        module.block,
        module.convention,
        tensors,
        shape,
        file.tensors[roles["up"]].dtype,
        rank,
        scale_of(file, module, roles.get("alpha"), rank, configs),
    )


def require_floats(file: WeightFile, module: str, tensors: Mapping[str, str]) -> None:
    """Refuse tensors of a module that are not floating-point numbers.

    Args:
        tensors: Role to tensor name; alphas may be whole numbers.

    Raises:
        AlgebraError: `dtype_unsupported`.
    """
    dtypes = {file.tensors[name].dtype for role, name in tensors.items() if role != "alpha"}
    if not dtypes <= FLOAT_DTYPES:
        message = f"The module “{clean(module)}” has factors of whole numbers."
        raise AlgebraError(message, code="dtype_unsupported", module=module)


def sizes_of(
    tensors: Mapping[str, TensorInfo], module: Module, roles: Mapping[str, str]
) -> tuple[tuple[int, ...], int]:
    """Return the shape of the update, and its rank.

    Raises:
        AlgebraError: `shape_invalid`; the factors don't fit together.
    """
    shapes = {role: tensors[name].shape for role, name in roles.items()}
    found = pair_shape(shapes.get("up", ()), shapes.get("down", ()), shapes.get("mid"))
    if found is None:
        message = f"The factors of the module “{clean(module.name)}” don't fit together."
        listed = {role: list(shape) for role, shape in shapes.items()}
        raise AlgebraError(message, code="shape_invalid", module=module.name, shapes=listed)
    return found


def scale_of(
    file: WeightFile,
    module: Module,
    tensor: str | None,
    rank: int,
    configs: Configs,
) -> float:
    """Return the scale of a module.

    Args:
        tensor: Name of the tensor with its alpha.

    Raises:
        AlgebraError: `alpha_invalid`.
    """
    stored = None
    if tensor is not None:
        numbers = file.array(tensor).astype(np.float64).reshape(-1)
        stored = float(numbers[0]) if len(numbers) == 1 else math.nan
    alpha = alpha_for(module.name, rank, stored, configs)
    if not math.isfinite(alpha):
        message = f"The alpha of the module “{clean(module.name)}” is not one finite number."
        raise AlgebraError(message, code="alpha_invalid", module=module.name)
    return alpha / rank
