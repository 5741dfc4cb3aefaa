"""The one door of this package: a file in, its anatomy and findings out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from lorary.anatomy.algorithms import is_complete
from lorary.anatomy.assembly import assemble, file_name
from lorary.anatomy.beside import CONFIG_NAME, config_beside, require_file
from lorary.anatomy.findings import Finding, finding, from_error
from lorary.anatomy.hygiene import metadata_findings
from lorary.anatomy.interim import (
    AdapterConfig,
    Alphas,
    ConfigError,
    Proof,
    UrlSource,
    claims_of,
    file_algorithm,
    file_convention,
    prove,
    read_alphas,
    read_scalars,
)
from lorary.anatomy.kinds import KIND_TITLES, file_kind
from lorary.anatomy.modules import Module, scan
from lorary.anatomy.report import SCHEMA, Anatomy
from lorary.anatomy.structure import (
    metadata_rank_findings,
    module_findings,
    other_tensor_findings,
)
from lorary.anatomy.verdict import judge, verdict_findings
from lorary.safetensors import (
    BytesSource,
    Header,
    HeaderError,
    Limits,
    Source,
    open_source,
    read_header,
)

if TYPE_CHECKING:
    from lorary.anatomy.alphas import AlphaReader

__all__ = [
    "Inspection",
    "Refusal",
    "analyse",
    "inspect_bytes",
    "inspect_file",
    "inspect_source",
    "inspect_url",
]

_ORDER = {"error": 0, "warning": 1, "info": 2}
_NOTHING = Proof((), "unknown", (), (), None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a header could not be read.

    Attributes:
        name: The file's name, without invisible characters.
        code: Stable slug, a key of `lorary.safetensors.errors.HEADER_CODES`.
        message: One sentence for people.
        at: Byte of the file where the fault was seen, when known.
    """

    name: str
    code: str
    message: str
    at: int | None

    def to_dict(self) -> dict[str, object]:
        """The document of a refused file, as plain JSON values."""
        return {
            "schema": SCHEMA,
            "file": {"name": self.name},
            "error": {"code": self.code, "message": self.message, "at": self.at},
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """What looking at a file gave.

    Attributes:
        anatomy: What the header proves and claims; None when it could not be read.
        findings: Results of all checks, errors first.
        header: The checked header; None when it was refused.
        refusal: Why the header could not be read; None when it could.
    """

    anatomy: Anatomy | None
    findings: tuple[Finding, ...]
    header: Header | None
    refusal: Refusal | None = None

    @property
    def refused(self) -> bool:
        """An upload would be refused: at least one finding is an error."""
        return any(found.severity == "error" for found in self.findings)

    def to_dict(self) -> dict[str, object]:
        """The document, as `lorary inspect --json` and the API give it; see `docs/anatomy.md`."""
        if self.anatomy is None:
            return {} if self.refusal is None else self.refusal.to_dict()
        return {
            **self.anatomy.to_dict(),
            "findings": [found.to_dict() for found in self.findings],
        }


def inspect_bytes(
    data: bytes,
    *,
    name: str = "",
    size: int | None = None,
    limits: Limits | None = None,
    config: bytes | None = None,
) -> Inspection:
    """Inspect a file by its first bytes.

    Args:
        data: The first bytes, at least through the header; alphas are read when they are in it.
        name: File name, for messages.
        size: Size of the whole file in bytes; `len(data)` when left out.
        limits: Bounds of the header.
        config: The `adapter_config.json` that lies beside it.

    Returns:
        The inspection. Bad input becomes a finding, never an exception.
    """
    return inspect_source(BytesSource(data, size), name=name, limits=limits, config=config)


def inspect_file(
    place: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    limits: Limits | None = None,
) -> Inspection:
    """Inspect a file, reading its header and its alphas.

    An `adapter_config.json` beside it is read too, when it can only belong to this file: the file
    has the name that PEFT gives, or is the only one of its folder.

    Args:
        place: A path or a seekable binary file.
        name: File name, for messages; the path's last part when left out.
        limits: Bounds of the header.

    Returns:
        The inspection. Bad input becomes a finding, never an exception.

    Raises:
        OSError: The file cannot be read, or is no regular file.
    """
    config = None
    if isinstance(place, (str, os.PathLike)):
        path = Path(place)
        require_file(path)
        config = config_beside(path)
        name = path.name if name is None else name
    with open_source(place) as source:
        return inspect_source(source, name=name or "", limits=limits, config=config)


def inspect_url(url: str, *, limits: Limits | None = None) -> Inspection:
    """Inspect a file behind an address, in two small ranged requests.

    Alphas are not read, because each would be a request; the metadata's word stands for them.

    Args:
        url: An `http` or `https` address of a server that answers ranged requests.
        limits: Bounds of the header.

    Raises:
        OSError: The server does not answer, or not as it has to.
    """
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return _inspect(UrlSource(url), name=name, limits=limits, config=None, reads_alphas=False)


def inspect_source(
    source: Source,
    *,
    name: str = "",
    limits: Limits | None = None,
    config: bytes | None = None,
) -> Inspection:
    """Inspect anything that can be read at a place."""
    return _inspect(source, name=name, limits=limits, config=config, reads_alphas=True)


def _inspect(
    source: Source, *, name: str, limits: Limits | None, config: bytes | None, reads_alphas: bool
) -> Inspection:
    try:
        header = read_header(source, limits=limits)
    except HeaderError as error:
        refusal = Refusal(file_name(name), error.code, error.message, error.offset)
        return Inspection(None, (from_error(error),), None, refusal)
    reader: AlphaReader | None = None
    if reads_alphas:
        reader = lambda tensors: read_scalars(source, header, tensors)  # noqa: E731 - a closure
    return analyse(header, name=name, alpha_reader=reader, config=config)


def analyse(
    header: Header,
    *,
    name: str = "",
    alpha_reader: AlphaReader | None = None,
    config: AdapterConfig | bytes | None = None,
) -> Inspection:
    """Work out the anatomy of a checked header.

    Args:
        header: The header.
        name: File name, for messages.
        alpha_reader: Gives the values of scalar tensors; without it alphas are only declared.
        config: The `adapter_config.json` that lies beside the file.
    """
    metadata = header.metadata
    settings, results = _settings(config)
    claims = claims_of(metadata, settings, name)
    found = scan(header)
    kind = file_kind(found, has_pairs=_has_pairs(found.modules))
    modules = found.modules if kind == "adapter" else ()
    if kind == "adapter":
        proof = prove(modules, claims)
        alphas = read_alphas(modules, metadata, settings, alpha_reader)
        method = file_algorithm(modules, metadata, settings)
    else:
        proof, alphas, method = _NOTHING, Alphas(None, 0, ()), (None, {})
    base = judge(proof, claims, modules)
    anatomy = assemble(
        header,
        name=name,
        kind=kind,
        convention=file_convention(found, kind, proof.candidates),
        method=method,
        base=base,
        alphas=alphas,
        modules=modules,
        expected=proof.expected,
        config=settings,
    )
    results += metadata_findings(metadata)
    if kind == "adapter":
        results += module_findings(modules, header)
        results += other_tensor_findings(found, header)
        results += alphas.findings
        results += metadata_rank_findings(
            metadata, anatomy.rank if anatomy.ranks else None, _read_alpha(alphas)
        )
        results += verdict_findings(base, proof)
    else:
        results.append(_not_an_adapter(kind, name))
    results.sort(key=lambda result: _ORDER[result.severity])
    return Inspection(anatomy, tuple(results), header)


def _read_alpha(alphas: Alphas) -> float | None:
    return alphas.mode if alphas.values_read else None


def _settings(
    config: AdapterConfig | bytes | None,
) -> tuple[AdapterConfig | None, list[Finding]]:
    if not isinstance(config, bytes):
        return config, []
    try:
        return AdapterConfig.parse(config), []
    except ConfigError as error:
        message = f"{CONFIG_NAME} cannot be read: {error}"
        return None, [finding("metadata_unreadable", message, keys=[CONFIG_NAME])]


def _has_pairs(modules: tuple[Module, ...]) -> bool:
    return any(
        all(is_complete(name, module.roles) for name in module.algorithms)
        for module in modules
        if module.algorithms
    )


def _not_an_adapter(kind: str, name: str) -> Finding:
    shown = file_name(os.path.basename(name))[:80]  # noqa: PTH119 - any text
    subject = f"“{shown}”" if shown else "This"
    message = f"{subject} is {KIND_TITLES[kind]}, not a LoRA adapter."
    return finding("not_an_adapter", message, kind=kind)
