"""The one door of this package: a file in, its anatomy and findings out."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lorary.anatomy.algorithms import file_algorithm, is_complete
from lorary.anatomy.alphas import AlphaReader, Alphas, read_alphas
from lorary.anatomy.claims import claimed_lineage
from lorary.anatomy.families import families, family_title
from lorary.anatomy.findings import Finding, finding, from_error
from lorary.anatomy.hygiene import metadata_findings
from lorary.anatomy.kinds import KIND_TITLES, file_kind
from lorary.anatomy.metadata import parsed, present
from lorary.anatomy.modules import Module, Scan, scan
from lorary.anatomy.proof import Proof, prove
from lorary.anatomy.report import Anatomy, Verdict, blocks_of, judge, rank_counts
from lorary.anatomy.structure import (
    metadata_rank_findings,
    module_findings,
    other_tensor_findings,
)
from lorary.anatomy.training import description, recommended_strength, title, training_facts
from lorary.anatomy.triggers import common_tags, tag_shares, trigger_words
from lorary.safetensors import (
    BytesSource,
    Header,
    HeaderError,
    Limits,
    Source,
    open_source,
    read_header,
    read_scalar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Inspection", "analyse", "inspect_bytes", "inspect_file", "inspect_source"]

_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What looking at a file gave.

    Attributes:
        anatomy: What the header proves and claims; None when it could not be read.
        findings: Results of all checks, errors first.
        header: The checked header; None when it was refused.
    """

    anatomy: Anatomy | None
    findings: tuple[Finding, ...]
    header: Header | None

    @property
    def refused(self) -> bool:
        """At least one finding is an error."""
        return any(found.severity == "error" for found in self.findings)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values, as the API returns them."""
        return {
            "anatomy": None if self.anatomy is None else self.anatomy.to_dict(),
            "findings": [found.to_dict() for found in self.findings],
        }


def inspect_bytes(
    data: bytes, *, name: str = "", size: int | None = None, limits: Limits | None = None
) -> Inspection:
    """Inspect a file by its first bytes.

    Args:
        data: The first bytes, at least through the header; alphas are read when they are in it.
        name: File name, for messages.
        size: Size of the whole file in bytes; `len(data)` when left out.
        limits: Bounds of the header.

    Returns:
        The inspection. Bad input becomes a finding, never an exception.
    """
    return inspect_source(BytesSource(data, size), name=name, limits=limits)


def inspect_file(
    place: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    limits: Limits | None = None,
) -> Inspection:
    """Inspect a file, reading its header and its alphas.

    Args:
        place: A path or a seekable binary file.
        name: File name, for messages; the path's when left out.
        limits: Bounds of the header.

    Returns:
        The inspection. Bad input becomes a finding, never an exception.

    Raises:
        OSError: The file cannot be read.
    """
    if name is None:
        name = os.fspath(place) if isinstance(place, (str, os.PathLike)) else ""
    with open_source(place) as source:
        return inspect_source(source, name=name, limits=limits)


def inspect_source(source: Source, *, name: str = "", limits: Limits | None = None) -> Inspection:
    """Inspect anything that can be read at a place, such as a ranged URL."""
    try:
        header = read_header(source, limits=limits)
    except HeaderError as error:
        return Inspection(None, (from_error(error),), None)
    return analyse(
        header, name=name, alpha_reader=lambda tensor: read_scalar(source, header, tensor)
    )


def analyse(
    header: Header, *, name: str = "", alpha_reader: AlphaReader | None = None
) -> Inspection:
    """Work out the anatomy of a checked header.

    Args:
        header: The header.
        name: File name, for messages.
        alpha_reader: Gives the value of a scalar tensor; without it alphas are only declared.
    """
    metadata = header.metadata
    found = scan(header)
    modules = found.modules
    kind = file_kind(found, has_pairs=_has_pairs(modules))
    if kind == "adapter":
        alphas = read_alphas(modules, metadata, alpha_reader)
        proof = prove(modules)
    else:
        alphas, proof = Alphas(None, "absent"), Proof((), "unknown", ())
    verdict = judge(proof, metadata)
    anatomy = _assemble(header, found, kind, alphas, verdict)
    results = list(metadata_findings(metadata))
    if kind == "adapter":
        results += module_findings(modules, header)
        results += other_tensor_findings(found, header)
        results += alphas.findings
        results += metadata_rank_findings(
            metadata, anatomy.rank, alphas.value if alphas.source == "read" else None
        )
        results += _verdict_findings(verdict, proof)
    else:
        results.append(_not_an_adapter(kind, name))
    results.sort(key=lambda result: _ORDER[result.severity])
    return Inspection(anatomy, tuple(results), header)


def _has_pairs(modules: tuple[Module, ...]) -> bool:
    return any(
        all(is_complete(name, module.roles) for name in module.algorithms)
        for module in modules
        if module.algorithms
    )


def _assemble(header: Header, found: Scan, kind: str, alphas: Alphas, verdict: Verdict) -> Anatomy:
    metadata, modules = header.metadata, found.modules if kind == "adapter" else ()
    leading, algorithms = file_algorithm(Counter(module.algorithms for module in modules))
    leading = _declared_algorithm(metadata, leading)
    conventions = _conventions(modules, verdict)
    linear, conv = rank_counts(modules)
    ranks = linear or conv
    blocks = blocks_of(modules)
    tags = tag_shares(metadata)
    words = trigger_words(metadata, tags)
    return Anatomy(
        kind=kind,
        algorithm=leading,
        algorithms=algorithms,
        convention=conventions[0] if conventions else None,
        conventions=conventions,
        family=verdict.proven,
        verdict=verdict,
        lineage=claimed_lineage(metadata),
        rank=next(iter(ranks), None),
        ranks=linear,
        conv_ranks=conv,
        alpha=alphas.value,
        alpha_source=alphas.source,
        parts=dict(Counter(module.part for module in modules)),
        modules=len(modules),
        blocks=blocks,
        parameters=sum(block.parameters for block in blocks),
        dtypes=dict(Counter(t.dtype for t in header.tensors.values()).most_common()),
        tensors=len(header.tensors),
        size_bytes=header.size_bytes,
        trigger_words=words,
        common_tags=common_tags(tags, words),
        training=training_facts(metadata),
        title=title(metadata),
        description=description(metadata),
        recommended_strength=recommended_strength(metadata),
        metadata_keys=len(metadata),
    )


def _declared_algorithm(metadata: Mapping[str, str], leading: str | None) -> str | None:
    """DyLoRA has no mark in the tensors; only the metadata tells it from LoRA."""
    if leading not in {"lora", "locon"}:
        return leading
    arguments = parsed(metadata, "ss_network_args")
    algorithm = arguments.get("algo") if isinstance(arguments, dict) else None
    is_dylora = present(metadata, "ss_network_module") == "networks.dylora"
    return "dylora" if is_dylora or algorithm == "dylora" else leading


def _conventions(modules: tuple[Module, ...], verdict: Verdict) -> tuple[str, ...]:
    """Conventions, most used first; kohya names over a naming that is unusual for the family."""
    counts = Counter((m.convention, m.place.naming if m.place else None) for m in modules)
    usual = {families()[name].kohya for name in verdict.candidates}
    totals: Counter[str] = Counter()
    for (convention, naming), number in counts.items():
        odd = convention == "kohya" and naming == "diffusers" and usual and naming not in usual
        totals["kohya-diffusers-blocks" if odd else convention] += number
    return tuple(name for name, _ in totals.most_common())


def _verdict_findings(verdict: Verdict, proof: Proof) -> Iterator[Finding]:
    titles = [family_title(name) for name in verdict.candidates]
    if verdict.agreement == "conflict":
        message = (
            f"The metadata says {family_title(verdict.claimed)}, "
            f"but the tensors fit {' or '.join(titles)}. The tensors count."
        )
        yield finding(
            "metadata_conflict",
            message,
            claimed=verdict.claimed,
            candidates=list(verdict.candidates),
        )
    if proof.confidence == "unknown":
        message = "The tensors fit no base model that is known here."
        yield finding("family_unknown", message, claimed=verdict.claimed)
    elif len(titles) > 1:
        message = f"The tensors fit {' and '.join(titles)}, and cannot tell them apart."
        yield finding("family_ambiguous", message, candidates=list(verdict.candidates))
    if proof.strays:
        message = f"{len(proof.strays):,} modules are not in {' or '.join(titles)}."
        yield finding(
            "modules_unknown", message, count=len(proof.strays), modules=list(proof.strays[:10])
        )


def _not_an_adapter(kind: str, name: str) -> Finding:
    subject = f"“{os.path.basename(name)[:80]}”" if name else "This"  # noqa: PTH119 - any text
    message = f"{subject} is {KIND_TITLES[kind]}, not a LoRA adapter."
    return finding("not_an_adapter", message, kind=kind)
