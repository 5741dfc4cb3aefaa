"""The error of the algebra: what it refuses, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from types import MappingProxyType

from lorary.anatomy.claims.metadata import clean
from lorary.base_error import LoraryError
from lorary.safetensors import HeaderError

ALGEBRA_CODES: Mapping[str, str] = MappingProxyType(
    {
        "alpha_invalid": "A module has an alpha that is not one finite number.",
        "base_unfit": "The base model lacks a weight that a module needs, or is a different model.",
        "config_exists": "An adapter_config.json beside the output is in the way.",
        "dtype_unsupported": "The file has tensors in a number format that can't be computed with.",
        "energy_zero": "Neither file changes anything, so they can't be compared.",
        "extra_tensors": "The file has tensors that are not part of an adapter.",
        "families_differ": "The files are for different base models.",
        "family_unknown": "The names of the base model's modules are not known.",
        "files_differ": "The two checkpoints have no weights in common, or only equal ones.",
        "metadata_invalid": "A metadata value breaks a rule of ModelSpec.",
        "modules_differ": "A module has different sizes in two files.",
        "names_alias": "Two tensors of a file have the same role in one module.",
        "names_unknown": "The modules can't be named in an adapter file.",
        "namings_differ": "The files spell the names of modules differently.",
        "no_factors": "A module's algorithm has no exact form of two factors.",
        "not_an_adapter": "The file has no LoRA module.",
        "not_convertible": "The target can't hold a module exactly.",
        "not_finite": "A module has numbers that are not finite, or too large to compute with.",
        "overflow": "The result is too large for the number format.",
        "rank_too_large": "A module's factors or its update are too large to compute with.",
        "same_file": "The output is an input.",
        "shape_invalid": "The tensors of a module don't fit together.",
        "size_too_small": "Even rank 1 needs more bytes than allowed.",
    }
)
"""Code to meaning. Codes are part of the API: add, never rename."""


class AlgebraError(LoraryError, ValueError):
    """Files and settings from which no exact result can be made.

    Attributes:
        code: One of `ALGEBRA_CODES`.
        detail: One or two sentences for people.
        facts: JSON values that support them, such as the module.
    """

    def __init__(self, detail: str, *, code: str, **facts: object) -> None:
        super().__init__(detail, code=code, facts=facts)


@contextmanager
def naming(module: str) -> Iterator[None]:
    """Add the name of a module to errors that don't have one."""
    try:
        yield
    except AlgebraError as error:
        if "module" in error.facts:
            raise
        message = f"{error.detail} They are in the module “{clean(module)}”."
        raise AlgebraError(message, code=error.code, **error.facts, module=module) from error


@contextmanager
def about(path: PurePath) -> Iterator[None]:
    """Begin the message of errors with the name of a file, where several files are read."""
    try:
        yield
    except AlgebraError as error:
        message = f"{clean(path.name)}: {error.detail}"
        raise AlgebraError(message, code=error.code, **error.facts) from error
    except HeaderError as error:
        message = f"{clean(path.name)}: {error.detail}"
        raise HeaderError(
            message, code=error.code, offset=error.offset, facts=error.facts
        ) from error
