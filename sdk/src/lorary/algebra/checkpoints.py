"""Finds the weights of a base model's checkpoint for the modules of an adapter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import WeightFile
from lorary.algebra.matrices.gram import Matrix, require_size
from lorary.algebra.naming.relations import FamilyNames, Piece
from lorary.anatomy.claims.metadata import clean
from lorary.anatomy.keys.tensor_names import split_prefix
from lorary.safetensors.tensors import FLOAT_DTYPES

if TYPE_CHECKING:
    from lorary.anatomy.modules.adapted import Module

WEIGHT = ".weight"
OUTER = re.compile(r"(?:(?:model|module|diffusion_model|unet|transformer|net|dit)\.){1,8}")
"""Wrappers of the denoiser in a checkpoint."""

ENCODERS: Mapping[str, str] = {
    "conditioner.embedders.0.transformer.": "lora_te1_",  # SDXL's CLIP-L
    "cond_stage_model.transformer.": "lora_te_",  # SD 1's
}
"""Prefix of a text encoder in a checkpoint to that of kohya's scripts."""

_SCALES = (".scale_weight", ".weight_scale")  # of FP8 weights, by which they are multiplied
_LEVELS = re.compile(r"(?:text_model|model)_")  # that some versions of transformers leave out


def require_unscaled(file: WeightFile) -> None:
    """Refuse a checkpoint that stores a scale beside each weight.

    Raises:
        AlgebraError: `dtype_unsupported`.
    """
    scale = next((name for name in file.tensors if name.endswith(_SCALES)), None)
    if scale is not None:
        message = f"{file.path.name} has scaled weights (“{clean(scale)}”)."
        raise AlgebraError(message, code="dtype_unsupported", tensor=clean(scale))


class _Rows(NamedTuple):
    """Rows of a tensor."""

    tensor: str
    begin: int
    size: int


class BaseWeight(NamedTuple):
    """The weight of a module, in one tensor or in rows of several.

    Attributes:
        shape: `(out, in, *kernel)`.
    """

    file: WeightFile
    shape: tuple[int, ...]
    rows: tuple[_Rows, ...]

    def matrix(self) -> Matrix:
        """Return it as a matrix `(out, fan_in)` in double precision."""
        done = np.empty((self.shape[0], math.prod(self.shape[1:])))
        place = 0
        for tensor, begin, size in self.rows:
            array = self.file.array(tensor)
            done[place : place + size] = array.reshape(len(array), -1)[begin : begin + size]
            place += size
        self.file.drop_pages()
        return done


class BaseWeights:
    """The weights of an open checkpoint.

    Args:
        names: Names of its family; without them, weights are found by equal names alone.

    Raises:
        AlgebraError: `dtype_unsupported`; its weights are scaled.
    """

    def __init__(self, file: WeightFile, names: FamilyNames | None = None) -> None:
        require_unscaled(file)
        self._file, self._names = file, names
        self._by_path: dict[tuple[str, str], str] = {}
        self._by_piece: dict[Piece, _Rows] = {}
        for name, tensor in file.tensors.items():
            if name.endswith(WEIGHT) and len(tensor.shape) > 1 and tensor.dtype in FLOAT_DTYPES:
                self._add(name, tensor.shape)

    def _add(self, name: str, shape: tuple[int, ...]) -> None:
        path = name.removesuffix(WEIGHT)
        for prefix in ENCODERS:
            if path.startswith(prefix):
                self._by_path[_key("text_encoder", path.removeprefix(prefix))] = name
                return
        outer = OUTER.match(path)
        path = path if outer is None else path[outer.end() :]
        self._by_path[_key("denoiser", path)] = name
        pieces = None if self._names is None else self._names.pieces(path)
        if self._names is None or pieces is None:
            return
        counts = self._names.sizes(pieces, shape[0], math.prod(shape[1:]))
        begin = 0
        for piece, count in zip(pieces, counts or (), strict=False):
            self._by_piece[piece] = _Rows(name, begin, count)
            begin += count

    def find(self, module: Module) -> BaseWeight:
        """Return the weight of a module.

        Raises:
            AlgebraError: `base_unfit`; the checkpoint lacks it, or has it in another size.
        """
        rows = self._rows(module)
        name = f"the module “{clean(module.name)}”"
        if not rows:
            message = f"{self._file.path.name} has no weight for {name}."
            raise AlgebraError(message, code="base_unfit", module=module.name)
        shape = self._file.tensors[rows[0].tensor].shape
        shape = (sum(one.size for one in rows), *shape[1:])
        fan_in = math.prod(shape[1:])
        widths = {math.prod(self._file.tensors[one.tensor].shape[1:]) for one in rows}
        out, wanted = module.dims.out or shape[0], module.dims.fan_in or fan_in
        if (out, {wanted}) != (shape[0], widths):
            message = (
                f"{name[0].upper()}{name[1:]} is {out} × {wanted}, and its weight in "
                f"{self._file.path.name} is {shape[0]} × {fan_in}: it is a different base model."
            )
            raise AlgebraError(message, code="base_unfit", module=module.name)
        require_size(math.prod(shape))
        return BaseWeight(self._file, shape, rows)

    def _rows(self, module: Module) -> tuple[_Rows, ...]:
        path, place = split_prefix(module.name)[1], module.place
        paths = [path] if place is None else [path, place.path]
        for one in paths:
            tensor = self._by_path.get(_key(module.part, one))
            if tensor is not None:
                return (_Rows(tensor, 0, self._file.tensors[tensor].shape[0]),)
        if self._names is None or module.part != "denoiser":
            return ()
        known = self._names.locate(module.name, place)
        pieces = (known and self._names.pieces(known)) or ()
        if not all(piece in self._by_piece for piece in pieces):
            return ()
        return tuple(self._by_piece[piece] for piece in pieces)


def _key(part: str, path: str) -> tuple[str, str]:
    """Return a key for a part and a path, whether it is dotted or flattened."""
    flat = path.replace(".", "_")
    return part, flat if part == "denoiser" else _LEVELS.sub("", flat, count=1)
