"""Entry points of this package: inspect a file and return its anatomy and findings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from lorary.anatomy.assembly import Parts, assemble, file_name
from lorary.anatomy.base_models.proof import Proof, prove
from lorary.anatomy.base_models.verdict import suggest, verdict_findings, verdict_of
from lorary.anatomy.claims.base_models import Claims, claims_of, covers, with_wan22_name
from lorary.anatomy.claims.config import AdapterConfig, ConfigError, config_beside, require_file
from lorary.anatomy.claims.declared import (
    claims_findings,
    config_findings,
    config_unreadable,
    metadata_rank_findings,
)
from lorary.anatomy.claims.metadata import CachedMetadata
from lorary.anatomy.findings.finding import Finding, finding, from_error
from lorary.anatomy.findings.hashes import hash_findings
from lorary.anatomy.findings.hygiene import metadata_findings, name_findings
from lorary.anatomy.keys.algorithms import file_algorithm, is_complete
from lorary.anatomy.keys.conventions import file_convention
from lorary.anatomy.keys.kinds import KIND_TITLES, file_kind
from lorary.anatomy.modules.adapted import Scan, scan
from lorary.anatomy.modules.alphas import AlphaReader, Alphas, read_alphas
from lorary.anatomy.modules.module_table import Modules
from lorary.anatomy.modules.structure import (
    leftover_findings,
    module_findings,
    other_tensor_findings,
)
from lorary.anatomy.report import SCHEMA, Anatomy
from lorary.safetensors import (
    BytesSource,
    Header,
    HeaderError,
    Limits,
    Source,
    open_source,
    read_header,
    read_scalars,
)
from lorary.safetensors.tensors import Tensors

_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a header could not be read.

    Attributes:
        name: The file's name, without invisible characters.
        code: Stable slug, one of `lorary.safetensors.errors.HEADER_CODES`.
        message: One sentence for people.
        at: Byte of the file where the fault is, when known.
    """

    name: str
    code: str
    message: str
    at: int | None

    def to_dict(self) -> dict[str, object]:
        """Return the document of a refused file, as plain JSON values."""
        return {
            "schema": SCHEMA,
            "file": {"name": self.name},
            "error": {"code": self.code, "message": self.message, "at": self.at},
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting a file.

    Attributes:
        anatomy: What the header proves and claims; None if it could not be read.
        findings: Results of all checks, errors first.
        header: The checked header; None if it was refused.
        refusal: Why the header could not be read; None if it could.
    """

    anatomy: Anatomy | None
    findings: tuple[Finding, ...]
    header: Header | None
    refusal: Refusal | None = None

    @property
    def refused(self) -> bool:
        """Whether an upload would be refused: at least one finding is an error."""
        return any(found.severity == "error" for found in self.findings)

    def to_dict(self) -> dict[str, object]:
        """Return the document of `lorary inspect --json` and the API; see `docs/anatomy.md`."""
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
        data: The first bytes, with the whole header; alphas are read if they are included.
        name: File name, for messages.
        size: Size of the whole file in bytes; by default `len(data)`.
        limits: Limits on the header.
        config: The `adapter_config.json` beside the file.

    Returns:
        The inspection. Invalid input becomes a finding, never an exception.
    """
    return inspect_source(BytesSource(data, size), name=name, limits=limits, config=config)


def inspect_file(
    place: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    limits: Limits | None = None,
) -> Inspection:
    """Inspect a file: read its header and its alphas.

    An `adapter_config.json` beside the file is read too if it can only belong to this file: the
    file has the name that PEFT gives, or is the only one in its folder.

    Args:
        place: A path or a seekable binary file.
        name: File name, for messages; by default the last part of the path.
        limits: Limits on the header.

    Returns:
        The inspection. Invalid input becomes a finding, never an exception.

    Raises:
        OSError: The file can't be read, or isn't a regular file.
    """
    config = None
    if isinstance(place, (str, os.PathLike)):
        path = Path(place)
        require_file(path)
        config = config_beside(path)
        name = path.name if name is None else name
    with open_source(place) as source:
        return inspect_source(source, name=name or "", limits=limits, config=config)


def inspect_url(
    url: str, *, limits: Limits | None = None, headers: Mapping[str, str] | None = None
) -> Inspection:
    """Inspect a file behind a URL, with two small range requests.

    Alphas are not read, because each would take a request; the declared alpha is returned.

    Args:
        url: An `http` or `https` URL of a server that supports range requests.
        limits: Limits on the header.
        headers: Request headers, such as `Authorization`; never sent to other servers on redirects.

    Raises:
        OSError: The server doesn't answer, or its answer is invalid.
    """
    from lorary.safetensors import UrlSource  # noqa: PLC0415 - loads HTTP, for addresses alone

    with UrlSource(url, headers=headers) as source:
        return _inspect(source, name=url_name(url), limits=limits, config=None, reads_alphas=False)


def url_name(url: str) -> str:
    """Return the file's name in a URL: the last part of its path, or "" for an invalid URL."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return ""


def inspect_source(
    source: Source,
    *,
    name: str = "",
    limits: Limits | None = None,
    config: bytes | None = None,
) -> Inspection:
    """Inspect an object that supports reads at any offset."""
    return _inspect(source, name=name, limits=limits, config=config, reads_alphas=True)


def _inspect(
    source: Source, *, name: str, limits: Limits | None, config: bytes | None, reads_alphas: bool
) -> Inspection:
    try:
        header = read_header(source, limits=limits)
    except HeaderError as error:
        refusal = Refusal(file_name(name), error.code, error.detail, error.offset)
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
    """Return the inspection of a checked header.

    Args:
        header: The header.
        name: File name, for messages.
        alpha_reader: Returns the values of scalar tensors; without it, alphas are only declared.
        config: The `adapter_config.json` beside the file.
    """
    given = header
    tensors, metadata = Tensors.of(header.tensors), CachedMetadata(header.metadata)
    header = replace(header, tensors=tensors, metadata=metadata)
    settings, results = _settings(config)
    claims = claims_of(header.metadata, settings, name)
    found = scan(header)
    kind = file_kind(
        found,
        has_pairs=any(
            all(is_complete(name, roles) for name in algorithms)
            for algorithms, roles in found.modules.groups.kinds
            if algorithms
        ),
    )
    if kind == "adapter":
        claims, proof = _prove_by_name(found.modules, claims, name)
        parts = _adapter(header, found, proof, claims, settings, alpha_reader)
        anatomy = assemble(header, parts, name=name, config=settings)
        results += module_findings(parts.modules, header)
        results += other_tensor_findings(found, header)
        results += parts.alphas.findings
        results += config_findings(settings, parts.modules)
        results += _number_findings(anatomy, header.metadata)
        results += verdict_findings(parts.base, proof)
    else:
        parts = _foreign(found, kind, claims)
        anatomy = assemble(header, parts, name=name, config=settings)
        results += [_not_an_adapter(kind, name), *leftover_findings(found, kind)]
    results += claims_findings(claims)
    results += metadata_findings(header.metadata)
    results += hash_findings(header.metadata)
    results += name_findings(found.names)
    results.sort(key=lambda result: _ORDER[result.severity])
    return Inspection(anatomy, tuple(results), given)


def _adapter(
    header: Header,
    found: Scan,
    proof: Proof,
    claims: Claims,
    config: AdapterConfig | None,
    reader: AlphaReader | None,
) -> Parts:
    modules = found.modules
    leading, algorithms = file_algorithm(modules, header.metadata, config)
    return Parts(
        kind="adapter",
        convention=file_convention(found, "adapter", proof.candidates),
        algorithm=leading,
        algorithms=algorithms,
        base=suggest(verdict_of(proof, claims, modules)),
        alphas=read_alphas(modules, header.metadata, config, reader),
        modules=modules,
        shared=found.shared,
        expected=proof.expected,
    )


def _prove_by_name(modules: Modules, claims: Claims, name: str) -> tuple[Claims, Proof]:
    """Return claims and proof. The file's name counts only if several versions of Wan remain."""
    proof = prove(modules, claims)
    if len(proof.candidates) > 1 and all(covers("wan", one) for one in proof.candidates):
        named = with_wan22_name(claims, name)
        if named is not None:
            return named, prove(modules, named)
    return claims, proof


def _foreign(found: Scan, kind: str, claims: Claims) -> Parts:
    """The parts of a file that is no adapter; of its base model only what the metadata claims."""
    proof = Proof((), "unknown" if claims.first is None else "claimed", ())
    return Parts(
        kind=kind,
        convention=file_convention(found, kind, ()),
        algorithm=None,
        algorithms={},
        base=verdict_of(proof, claims, ()),
        alphas=Alphas(None, 0),
        modules=Modules(),
        shared={},
        expected=None,
    )


def _number_findings(anatomy: Anatomy, metadata: Mapping[str, str]) -> Iterator[Finding]:
    rank = anatomy.rank if anatomy.ranks else None
    alpha = anatomy.alpha if anatomy.alphas_read else None
    return metadata_rank_findings(metadata, rank, alpha, ranks=anatomy.ranks)


def _settings(
    config: AdapterConfig | bytes | None,
) -> tuple[AdapterConfig | None, list[Finding]]:
    if not isinstance(config, bytes):
        return config, []
    try:
        return AdapterConfig.parse(config), []
    except ConfigError as error:
        return None, [config_unreadable(str(error))]


def _not_an_adapter(kind: str, name: str) -> Finding:
    shown = file_name(os.path.basename(name))[:80]  # noqa: PTH119 - any text
    subject = f"“{shown}”" if shown else "This"
    message = f"{subject} is {KIND_TITLES[kind]}, not a LoRA adapter."
    if kind == "other":
        message = f"{subject} is not a LoRA adapter or another known kind of file."
    return finding("not_an_adapter", message, kind=kind)
