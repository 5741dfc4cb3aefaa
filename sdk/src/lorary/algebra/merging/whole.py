"""Updates that are not the product of two factors, formed whole in double precision.

    LoHa   ΔW = s · (A₁B₁) ∘ (A₂B₂)                 hada_w1_a, …; with cores hada_t1, hada_t2
    LoKr   ΔW = s · w₁ ⊗ w₂                         lokr_w1, lokr_w2, or two factors of each
    full   ΔW itself                                diff
    DoRA   ΔW = m (W + Δ) / ‖W + Δ‖ − W             of all these; norms of rows or of columns
    (IA)³  ΔW = v W by rows, or W v by columns      weight, on_input (LyCORIS: v is the difference)

The last two depend on the weight W of the base model. Their updates are those at strength 1. A
merge multiplies them, as ComfyUI does; PEFT has the strength of DoRA inside the norm.

Sources: Hyeon-Woo et al. 2022, FedPara (arXiv:2108.06098); Yeh et al. 2024, LyCORIS
(arXiv:2309.14859) and its code, version 4.1; Liu et al. 2024, DoRA (arXiv:2402.09353), equation 5;
Liu et al. 2022, (IA)³ (arXiv:2205.05638).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lorary.algebra.checkpoints import BaseWeight, BaseWeights
from lorary.algebra.errors import AlgebraError, naming
from lorary.algebra.files import Array, WeightFile
from lorary.algebra.matrices.gram import Matrix, require_size, with_core
from lorary.algebra.matrices.shapes import Shape, pair_shape, product_shape
from lorary.algebra.modules import VECTOR_ROLES, WholeModule, require_floats, scale_of
from lorary.algebra.scales import Configs
from lorary.anatomy.claims.metadata import clean

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module

METHODS = frozenset({"dora", "full", "ia3", "loha", "lokr"})
"""Algorithms whose updates can be formed whole."""
ON_BASE = frozenset({"dora", "ia3"})
"""Those of them that depend on the base model."""

_LOHA = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"})
_CORES = frozenset({"hada_t1", "hada_t2"})
_BESIDE = frozenset({"alpha", "scalar", "magnitude", "on_input"})

Compute = Callable[[], Matrix]


def read_whole(
    base: BaseWeights | None,
    file: WeightFile,
    module: Module,
    roles: Mapping[str, str],
    configs: Configs,
) -> WholeModule | None:
    """Return a module whose update can be formed whole.

    Args:
        base: Weights of the base model, for algorithms that depend on them.
        roles: Role to tensor name.
        configs: PEFT's configurations that apply.

    Returns:
        None for other algorithms, and for those that depend on the base model without one.

    Raises:
        AlgebraError: The tensors don't fit together, or the base model doesn't fit.
    """
    tensors = _Tensors(file, module, roles)
    product = tensors.names.keys() - _BESIDE
    is_on_base = "magnitude" in tensors.names or product == {"vector"}
    if is_on_base and base is None:
        return None
    most_rank = 0
    if product == {"vector"}:
        shape, compute = _scaled(tensors, base.find(module) if base else None)
    else:
        form = _form_of(product)
        if form is None:
            return None
        shape, rank, inner, most_rank = form(tensors)
        if form is _lokr and not rank and configs and "alpha" not in tensors.names:
            message = (
                f"The module “{clean(module.name)}” is PEFT's LoKr of two whole matrices: its "
                "scale depends on a rank that the file doesn't show."
            )
            raise AlgebraError(message, code="no_factors", module=module.name)
        compute = partial(_times, inner, _factor(tensors, rank, configs))
        weight = base.find(module) if base and is_on_base else None
        if weight is not None:
            compute = partial(_decomposed, weight, compute, *_magnitude(tensors, weight.shape))
            most_rank = 0
        if form is not _pair:  # its factors show the kernel
            shape = _with_kernel(module, shape, weight)
    largest = max(product, key=lambda role: math.prod(tensors.shape(role)))
    with naming(module.name):
        require_size(math.prod(shape))
    return WholeModule(
        module.name,
        module.part,
        module.block,
        module.convention,
        tensors.names,
        shape,
        file.tensors[tensors.names[largest]].dtype,
        compute,
        min(most_rank or shape[0], shape[0], math.prod(shape[1:])),
    )


class _Tensors:
    """The tensors of a module by role."""

    def __init__(self, file: WeightFile, module: Module, roles: Mapping[str, str]) -> None:
        self.file, self.module = file, module
        self.names = {role: name for role, name in roles.items() if role not in VECTOR_ROLES}
        weights = {role: name for role, name in self.names.items() if role != "on_input"}
        require_floats(file, module.name, weights)

    def shape(self, role: str) -> Shape:
        """Return the shape of a tensor, () if there is none."""
        return self.file.tensors[self.names[role]].shape if role in self.names else ()

    def array(self, role: str) -> Array:
        return self.file.array(self.names[role])

    def matrix(self, role: str) -> Matrix:
        """Return a tensor as a matrix in double precision."""
        array = self.array(role)
        matrix: Matrix = array.reshape(array.shape[0], -1).astype(np.float64)
        return matrix

    def number(self, role: str) -> float:
        if math.prod(self.shape(role)) != 1:
            raise self.misfit()
        return float(self.array(role).reshape(-1)[0])

    def misfit(self) -> AlgebraError:
        message = f"The tensors of the module “{clean(self.module.name)}” don't fit together."
        shapes = {role: list(self.shape(role)) for role in self.names}
        return AlgebraError(message, code="shape_invalid", module=self.module.name, shapes=shapes)

    def product_shape(self, names: tuple[str, str, str]) -> Shape:
        first, second, core = names
        found = product_shape(
            self.shape(first), self.shape(second), self.shape(core) if core in self.names else None
        )
        if found is None:
            raise self.misfit()
        return found

    def outer_rank(self, names: tuple[str, str, str]) -> int:
        """Return the inner size of the first factor of a product, which limits its rank."""
        return self.shape(names[0])[0 if names[2] in self.names else 1]

    def product(self, names: tuple[str, str, str]) -> Matrix:
        """Return a product of two factors, perhaps with a core; see `product_shape`."""
        first, second, core = names
        if core not in self.names:
            return self.matrix(first) @ self.matrix(second)
        down = with_core(self.matrix(second), self.array(core))
        found: Matrix = self.matrix(first).T @ down.reshape(len(down), -1)
        return found


class _Product(NamedTuple):
    """An update before its scale.

    Attributes:
        shape: Its shape.
        rank: The rank that alpha is divided by; 0 if alpha does not count.
        compute: Forms it.
        most_rank: A limit of the rank of the matrix; 0 without one but its size.
    """

    shape: Shape
    rank: int
    compute: Compute
    most_rank: int = 0


_Form = Callable[[_Tensors], _Product]


def _form_of(roles: Set[str]) -> _Form | None:
    if roles - {"mid"} == {"down", "up"}:
        return _pair
    if roles in (_LOHA, _LOHA | _CORES):
        return _loha
    if roles == {"diff"}:
        return _difference
    is_whole = [f"lokr_{side}" in roles for side in ("w1", "w2")]
    needed = {
        role
        for side, whole in zip(("lokr_w1", "lokr_w2"), is_whole, strict=True)
        for role in ([side] if whole else [f"{side}_a", f"{side}_b"])
    }
    core = set() if is_whole[1] else {"lokr_t2"}
    return _lokr if roles - core == needed else None


def _pair(tensors: _Tensors) -> _Product:
    mid = tensors.shape("mid") if "mid" in tensors.names else None
    found = pair_shape(tensors.shape("up"), tensors.shape("down"), mid)
    if found is None:
        raise tensors.misfit()

    def compute() -> Matrix:
        down = tensors.matrix("down")
        if mid is not None:
            down = with_core(down, tensors.array("mid")).reshape(found[1], -1)
        return tensors.matrix("up") @ down

    return _Product(*found, compute, found[1])


def _loha(tensors: _Tensors) -> _Product:
    sides = [(f"hada_w{one}_a", f"hada_w{one}_b", f"hada_t{one}") for one in (1, 2)]
    first, second = map(tensors.product_shape, sides)
    if first != second:
        raise tensors.misfit()
    rank = tensors.shape("hada_w1_b")[0]

    def compute() -> Matrix:
        return tensors.product(sides[0]) * tensors.product(sides[1])

    # Columns of ΔW are products of a column of A₁ and one of A₂, added up.
    return _Product(first, rank, compute, math.prod(map(tensors.outer_rank, sides)))


def _lokr(tensors: _Tensors) -> _Product:
    one, two = _kronecker_side(tensors, "w1"), _kronecker_side(tensors, "w2")
    if len(one.shape) != 2:
        raise tensors.misfit()
    shape = (one.shape[0] * two.shape[0], one.shape[1] * two.shape[1], *two.shape[2:])

    def compute() -> Matrix:
        return np.asarray(np.kron(one.compute(), two.compute()), np.float64)

    return _Product(shape, two.rank or one.rank, compute, one.most_rank * two.most_rank)


def _kronecker_side(tensors: _Tensors, side: str) -> _Product:
    role = f"lokr_{side}"
    if role in tensors.names:
        shape = tensors.shape(role)
        if len(shape) < 2 or 0 in shape:
            raise tensors.misfit()
        most = min(shape[0], math.prod(shape[1:]))
        return _Product(shape, 0, lambda: tensors.matrix(role), most)
    names = (f"{role}_a", f"{role}_b", f"lokr_t{side[1]}")
    shape = tensors.product_shape(names)
    rank = tensors.shape(names[1])[0]
    return _Product(shape, rank, lambda: tensors.product(names), tensors.outer_rank(names))


def _difference(tensors: _Tensors) -> _Product:
    shape = tensors.shape("diff")
    if len(shape) < 2 or 0 in shape:
        raise tensors.misfit()
    return _Product(shape, 0, lambda: tensors.matrix("diff"))


def _factor(tensors: _Tensors, rank: int, configs: Configs) -> float:
    """Return the scale of a product. Without a rank there is none, as in LyCORIS."""
    alpha = tensors.names.get("alpha")
    scale = scale_of(tensors.file, tensors.module, alpha, rank, configs) if rank else 1.0
    return scale * (tensors.number("scalar") if "scalar" in tensors.names else 1.0)


def _times(compute: Compute, factor: float) -> Matrix:
    found = compute()  # a new matrix, which is changed in place, because it may be large
    found *= factor
    return found


def _with_kernel(module: Module, shape: Shape, weight: BaseWeight | None) -> Shape:
    """Return the shape with its kernel, which flat factors of a convolution don't show."""
    known = [] if weight is None else [weight.shape]
    if module.place is not None:
        known += [row.shape for row in module.place.weights.rows]
    size = (shape[0], math.prod(shape[1:]))
    fitting = (one for one in known if (one[0], math.prod(one[1:])) == size)
    return shape if len(shape) > 2 else next(fitting, shape)


# What depends on the base model.


def _magnitude(tensors: _Tensors, shape: Shape) -> tuple[Matrix, bool]:
    """Return DoRA's magnitudes, and whether they belong to the rows of a weight.

    PEFT has one for each row. LyCORIS has a column of them for the rows, or a row for the columns.
    """
    array = tensors.array("magnitude")
    is_peft = "lora_magnitude_vector" in tensors.names["magnitude"]
    is_by_row = is_peft or array.shape[:1] == shape[:1]
    if array.size != shape[0 if is_by_row else 1]:
        raise tensors.misfit()
    return array.reshape(-1).astype(np.float64), is_by_row


def _decomposed(
    weight: BaseWeight,
    compute: Compute,
    magnitude: Matrix,
    is_by_row: bool,  # noqa: FBT001 - called through partial
) -> Matrix:
    before, found = weight.matrix(), compute()
    found += before
    cube = found.reshape(len(found), weight.shape[1], -1)
    norms = np.sqrt(np.einsum("oik,oik->o" if is_by_row else "oik,oik->i", cube, cube))
    quotients = magnitude / np.maximum(norms, np.finfo(np.float32).tiny)
    cube *= quotients[:, None, None] if is_by_row else quotients[None, :, None]
    found -= before
    return found


def _scaled(tensors: _Tensors, weight: BaseWeight | None) -> tuple[Shape, Compute]:
    """Return the update of (IA)³: rows or columns of the weight, multiplied."""
    assert weight is not None  # noqa: S101 - the caller has a base
    if "on_input" not in tensors.names:
        raise tensors.misfit()
    is_by_column = bool(tensors.number("on_input"))
    vector = tensors.array("vector").astype(np.float64).reshape(-1)
    if vector.size != weight.shape[1 if is_by_column else 0]:
        raise tensors.misfit()

    def compute() -> Matrix:
        matrix = weight.matrix()
        cube = matrix.reshape(len(matrix), weight.shape[1], -1)
        cube *= vector[None, :, None] if is_by_column else vector[:, None, None]
        return matrix

    return weight.shape, compute
