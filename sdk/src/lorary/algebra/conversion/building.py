"""Builds the tensors of a planned module.

    renamed    the same bytes
    split      down as it is, the rows of up
    fused      ⎡up₁  0 ⎤ ⎡down₁⎤      block-diagonal, or one down if all are the same
               ⎣ 0  up₂⎦ ⎣down₂⎦

A file that was made by joining projections has a block-diagonal up: its split also takes only the
rows of down that belong to the block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lorary.algebra.conversion.errors import refuse_module
from lorary.algebra.conversion.planning import Move, Planned
from lorary.algebra.conversion.sources import Source
from lorary.algebra.errors import naming
from lorary.algebra.files import NUMPY_DTYPES, Array, PlannedTensor, WeightFile
from lorary.algebra.matrices.gram import require_size, with_core
from lorary.algebra.naming.targets import is_stored_with_alpha, suffixes
from lorary.algebra.storing import planned_alpha

_ALPHA_ROLES = frozenset({"alpha"})


@dataclass(frozen=True, slots=True)
class Built:
    """A module of the new file with its tensors.

    Attributes:
        tensors: Tensor name to tensor.
        rank: Rank of a pair, 0 for others.
        alpha: Alpha of a pair.
        copies: Tensor name to the tensor of the old file that has the same bytes.
        roles: Roles of the tensors.
    """

    planned: Planned
    tensors: Mapping[str, PlannedTensor]
    rank: int = 0
    alpha: float = 1.0
    copies: Mapping[str, str] | None = None
    roles: frozenset[str] = frozenset()


def build(planned: Planned, file: WeightFile, target: str) -> Built:
    """Return the tensors of a module.

    Raises:
        AlgebraError: `not_convertible`; the target has no exact form for it.
    """
    source = planned.moves[0].source
    if not source.is_pair:
        return _copied(planned, source, file)
    if planned.relation == "renamed":
        return _renamed(planned, source, file, target)
    return _assembled(planned, file, target)


def _copied(planned: Planned, source: Source, file: WeightFile) -> Built:
    """Rename the tensors of another algorithm; their suffixes stay."""
    copies = {
        planned.name + tensor[len(source.name) :]: tensor for tensor in source.tensors.values()
    }
    tensors = {new: _copy(file, old) for new, old in copies.items()}
    return Built(planned, tensors, copies=copies, roles=frozenset(source.tensors))


def _copy(file: WeightFile, name: str, shape: tuple[int, ...] | None = None) -> PlannedTensor:
    tensor = file.tensors[name]
    return PlannedTensor(tensor.dtype, shape or tensor.shape, partial(file.raw, name))


def _renamed(planned: Planned, source: Source, file: WeightFile, target: str) -> Built:
    endings = suffixes(target, source.tensors)
    is_rebuilt = "mid" in source.tensors and "mid" not in endings
    tensors: dict[str, PlannedTensor] = {}
    copies: dict[str, str] = {}
    for role, old in source.tensors.items():
        if role == "alpha" or (is_rebuilt and role in {"mid", "down"}):
            continue
        new = planned.name + endings[role]
        shape = _shape_in(target, planned, source, role)
        tensors[new], copies[new] = _copy(file, old, shape), old
    if is_rebuilt:
        tensors[planned.name + endings["down"]] = _rebuilt(source, file)
    is_stated = "alpha" in source.tensors or source.alpha != source.rank
    if "alpha" in endings and (target == "kohya" or is_stated):
        new = planned.name + endings["alpha"]
        if "alpha" in source.tensors:
            tensors[new] = _copy(file, source.tensors["alpha"])
            copies[new] = source.tensors["alpha"]
        else:
            tensors[new] = planned_alpha(source.alpha, file.tensors[source.tensors["up"]].dtype, ())
    roles = frozenset(source.tensors) - _ALPHA_ROLES
    return Built(planned, tensors, source.rank, source.alpha, copies, roles)


def _rebuilt(source: Source, file: WeightFile) -> PlannedTensor:
    """Return the down factor with the kernel of its core, in float32."""
    down, mid = source.shapes["down"], source.shapes["mid"]
    shape = (mid[0], down[1], *mid[2:])

    def data() -> Array:
        core = file.array(source.tensors["mid"])
        with naming(source.name):
            return with_core(file.array(source.tensors["down"]), core).astype(np.float32)

    return PlannedTensor("F32", shape, data)


def _shape_in(target: str, planned: Planned, source: Source, role: str) -> tuple[int, ...] | None:
    """Return the shape of a renamed tensor, None for the one that it has.

    Convolutions of 1×1 and linear layers have the same factors in other shapes.
    """
    shape = source.shapes[role]
    if role == "magnitude":
        return _magnitude_shape(target, planned, source)
    dimensions = planned.dimensions
    if role not in {"down", "up"} or dimensions is None or "mid" in source.tensors:
        return None
    is_point = all(size == 1 for size in source.shapes["down"][2:])
    if not is_point or len(shape) == dimensions or dimensions < 2:
        return None
    return (*shape[:2], *[1] * (dimensions - 2))


def _magnitude_shape(target: str, planned: Planned, source: Source) -> tuple[int, ...] | None:
    """Return the shape of DoRA's magnitudes.

    LyCORIS has one for each row as a column, PEFT as a vector, or `(1, out, 1, 1)` for a
    convolution. Files with one for each column can't be written for PEFT.
    """
    shape, rows = source.shapes["magnitude"], source.rows
    by_row = {(rows,), (rows, 1), (rows, 1, 1, 1), (rows, 1, 1, 1, 1), (1, rows, 1, 1)}
    if rows == 1 or (shape not in by_row and shape != (1, rows, 1, 1, 1)):
        is_ours = rows == 1 and all(size == 1 for size in shape)
        if not is_ours and target in {"peft", "diffusers"}:
            reason = "has one magnitude for each input, and PEFT has one for each output"
            raise refuse_module(source.name, reason)
        if not is_ours:
            return None
    kernel = max(len(source.shapes["down"]), 2) - 2
    if planned.dimensions is not None and not kernel:
        kernel = planned.dimensions - 2
    if target in {"peft", "diffusers"}:
        return (1, rows, *[1] * kernel) if kernel else (rows,)
    return (rows, 1, *[1] * kernel)


# Split and fused modules.


def _assembled(planned: Planned, file: WeightFile, target: str) -> Built:
    moves = planned.moves
    for move in moves:
        if move.source.tensors.keys() & {"mid", "up_bias"}:
            reason = "can't be split or fused, because it has a core or a bias"
            raise refuse_module(move.source.name, reason)
    if planned.relation == "split":
        built = _split(planned, file, target)
    else:
        built = _fused(planned, file, target)
    return _with_magnitude(built, file, target)


def _split(planned: Planned, file: WeightFile, target: str) -> Built:
    (move,) = planned.moves
    source = move.source
    columns = _columns(move, file)
    rank = source.rank if columns is None else columns.stop - columns.start
    alpha = source.alpha if columns is None else source.alpha * rank / source.rank
    down, up = source.tensors[source.down], source.tensors[source.up]
    width = source.shapes[source.down][1:]
    dtypes = file.tensors[down].dtype, file.tensors[up].dtype

    def new_down() -> Array | memoryview:
        return file.raw(down) if columns is None else file.array(down)[columns]

    def new_up() -> Array:
        whole = file.array(up).reshape(source.rows, source.rank)
        parts = [whole[rows.begin : rows.begin + rows.size] for rows in _in_order(move)]
        done = parts[0] if len(parts) == 1 else _bytes_stacked(parts)
        return done if columns is None else done[:, columns]

    return _pair(
        planned,
        target,
        PlannedTensor(dtypes[0], (rank, *width), new_down),
        PlannedTensor(dtypes[1], (planned.rows, rank), new_up),
        alpha,
    )


def _in_order(move: Move) -> list[Any]:
    return sorted(move.rows, key=lambda rows: rows.place)


def _bytes_stacked(parts: Sequence[Array]) -> Array:
    done = np.empty((sum(len(part) for part in parts), *parts[0].shape[1:]), parts[0].dtype)
    place = 0
    for part in parts:
        done[place : place + len(part)] = part
        place += len(part)
    return done


def _columns(move: Move, file: WeightFile) -> slice | None:
    """Return the columns of up that alone belong to a split module, None for all.

    The rows of the other modules must be zero there, and its own rows elsewhere. A column that is
    zero everywhere belongs to the block before it, unless the rank is the same for all modules.
    """
    source = move.source
    if sum(rows.size for rows in move.rows) == source.rows or source.is_part:
        return None
    whole = file.array(source.tensors[source.up]).reshape(source.rows, source.rank)
    own = np.zeros(source.rows, bool)
    for rows in move.rows:
        own[rows.begin : rows.begin + rows.size] = True
    # A dense matrix shows itself in two of its rows, so that most files are not read twice.
    ends = [int(np.argmax(own)), int(np.argmin(own))]
    if all(_is_used(whole[row : row + 1])[0] for row in ends):
        return None
    mine, others = _is_used(whole[own]), _is_used(whole[~own])
    if (mine & others).any() or not mine.any() or not others.any():
        return None
    return _block(move, mine, others)


def _block(move: Move, mine: Array, others: Array) -> slice | None:
    """Return the range of columns of a block, None if they are not one range."""
    source = move.source
    rows = move.rows[0]
    blocks, rest = divmod(source.rows, rows.size)
    if not rest and source.rank % blocks == 0 and len(move.rows) == 1:
        size, index = source.rank // blocks, rows.begin // rows.size
        block = slice(index * size, (index + 1) * size)
        if mine.sum() == mine[block].sum() and not others[block].any():
            return block
    places = np.flatnonzero(mine)
    first, last = int(places[0]), int(places[-1]) + 1
    return None if others[first:last].any() else slice(first, last)


def _is_used(matrix: Array) -> Array:
    """Return for each column whether it has an element that is not zero."""
    if matrix.dtype.itemsize <= 2 and matrix.dtype.kind not in "fiu":
        bits = np.ascontiguousarray(matrix).view(f"u{matrix.dtype.itemsize}")
        sign = 1 << (8 * matrix.dtype.itemsize - 1)
        return np.asarray((bits & (sign - 1)).any(axis=0))
    return np.asarray((matrix != 0).any(axis=0))


def _fused(planned: Planned, file: WeightFile, target: str) -> Built:
    moves = planned.moves
    first = moves[0].source
    shared = _is_shared(moves, file)
    rank = first.rank if shared else sum(move.source.rank for move in moves)
    kernels = {move.source.shapes[move.source.down][1:] for move in moves}
    if len(kernels) > 1 or first.shapes[first.down][2:]:
        raise refuse_module(first.name, "can't be fused: its parts have inputs of other sizes")
    width = moves[0].width or first.shapes[first.down][1]
    with naming(first.name):
        require_size(rank * max(planned.rows, width))
    downs = [move.source.tensors[move.source.down] for move in moves]
    ups = [move.source.tensors[move.source.up] for move in moves]
    down_dtype, up_dtype = _common(file, downs), _common(file, ups)
    scales = [move.source.scale / first.scale if first.scale else 1.0 for move in moves]
    if any(move.source.scale != first.scale for move in moves):
        up_dtype = "F64" if up_dtype == "F64" else "F32"
        if first.scale == 0:
            raise refuse_module(first.name, "has an alpha of zero, but other parts do not")
    new_down = partial(_stacked, file, downs[:1] if shared else downs, width, down_dtype)
    new_up = partial(_blocks, planned, file, shared, scales, (rank, up_dtype))
    return _pair(
        planned,
        target,
        PlannedTensor(down_dtype, (rank, width), new_down),
        PlannedTensor(up_dtype, (planned.rows, rank), new_up),
        first.alpha * rank / first.rank,
    )


def _is_shared(moves: Sequence[Move], file: WeightFile) -> bool:
    """Return whether all parts have the same down, byte for byte, and the same scale."""
    first = moves[0].source
    if len(moves) < 2:
        return True
    if any(move.source.scale != first.scale for move in moves):
        return False
    tensors = [file.tensors[move.source.tensors[move.source.down]] for move in moves]
    if len({(tensor.dtype, tensor.shape) for tensor in tensors}) > 1:
        return False
    raw = [bytes(file.raw(move.source.tensors[move.source.down])) for move in moves]
    return all(one == raw[0] for one in raw)


def _common(file: WeightFile, names: Sequence[str]) -> str:
    """Return a format that holds the numbers of all tensors exactly."""
    dtypes = {file.tensors[name].dtype for name in names}
    if len(dtypes) == 1:
        return dtypes.pop()
    return "F64" if "F64" in dtypes else "F32"


def _stacked(file: WeightFile, names: Sequence[str], width: int, dtype: str) -> Array:
    parts = [file.array(name) for name in names]
    parts = [part.reshape(part.shape[0], -1) for part in parts]
    done = np.zeros((sum(len(part) for part in parts), width), NUMPY_DTYPES[dtype])
    place = 0
    for part in parts:
        done[place : place + len(part), : part.shape[1]] = part
        place += len(part)
    return done


def _blocks(
    planned: Planned,
    file: WeightFile,
    shared: bool,  # noqa: FBT001 - called through partial
    scales: Sequence[float],
    form: tuple[int, str],
) -> Array:
    rank, dtype = form
    done = np.zeros((planned.rows, rank), NUMPY_DTYPES[dtype])
    column = 0
    for move, scale in zip(planned.moves, scales, strict=True):
        source = move.source
        up = file.array(source.tensors[source.up]).reshape(source.rows, source.rank)
        for begin, place, count in move.rows:
            part = up[begin : begin + count]
            if scale != 1.0:
                part = (part.astype(np.float64) * scale).astype(done.dtype)
            done[place : place + count, column : column + source.rank] = part
        column += 0 if shared else source.rank
    return done


def _pair(
    planned: Planned, target: str, down: PlannedTensor, up: PlannedTensor, alpha: float
) -> Built:
    rank = up.shape[1]
    endings = suffixes(target, {"down": None, "up": None})
    tensors = {planned.name + endings["down"]: down, planned.name + endings["up"]: up}
    sources = [move.source for move in planned.moves]
    is_stated = alpha != rank or any("alpha" in source.tensors for source in sources)
    if is_stored_with_alpha(target) and (target == "kohya" or is_stated):
        tensors[planned.name + endings["alpha"]] = planned_alpha(alpha, up.dtype, ())
    return Built(planned, tensors, rank, alpha, roles=frozenset({"down", "up"}))


def _with_magnitude(built: Built, file: WeightFile, target: str) -> Built:
    """Add the rows of DoRA's magnitudes to a split or fused module."""
    planned = built.planned
    sources = [move.source for move in planned.moves]
    having = [source for source in sources if "magnitude" in source.tensors]
    if not having:
        return built
    covered = sum(rows.size for move in planned.moves for rows in move.rows)
    for source in sources:
        is_by_row = int(np.prod(source.shapes.get("magnitude", ()))) == source.rows
        if not is_by_row or covered < planned.rows or source.shapes["magnitude"][0] == 1:
            reason = "is DoRA, and a part of the new module has no magnitude for each output"
            raise refuse_module(source.name, reason)
    dtype = _common(file, [source.tensors["magnitude"] for source in sources])

    def data() -> Array:
        done = np.zeros(planned.rows, NUMPY_DTYPES[dtype])
        for move in planned.moves:
            values = file.array(move.source.tensors["magnitude"]).reshape(-1)
            for begin, place, count in move.rows:
                done[place : place + count] = values[begin : begin + count]
        return done.reshape(shape)

    is_peft = target in {"peft", "diffusers"}
    shape = (planned.rows,) if is_peft else (planned.rows, 1)
    ending = suffixes(target, {})["magnitude"]
    tensors = {**built.tensors, planned.name + ending: PlannedTensor(dtype, shape, data)}
    return Built(planned, tensors, built.rank, built.alpha, None, built.roles | {"magnitude"})
