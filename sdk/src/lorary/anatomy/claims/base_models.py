"""Metadata claims about the base model: its family and its lineage.

A family is an architecture. A lineage is a checkpoint (Pony, FLUX.1 schnell), which the tensors of
an adapter can't show. Wrong claims are kept too: they are reported beside what the tensors prove.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lorary.anatomy.claims.config import DENOISERS, AdapterConfig, embedded_configs
from lorary.anatomy.claims.experts import noise_half
from lorary.anatomy.claims.lineages import Lineages, lineages
from lorary.anatomy.claims.metadata import first_text, public_name, public_text
from lorary.anatomy.claims.onetrainer import onetrainer_config
from lorary.anatomy.claims.vocabulary import (
    covers,
    family_of_checkpoint,
    family_of_label,
    family_of_network,
    is_name_without_owner,
    lineage_of_label,
    parent_of,
    parents,
    squash,
)

__all__ = [
    "FILE_NAME",
    "Claim",
    "Claims",
    "LineageClaim",
    "Targets",
    "best_lineage",
    "claims_of",
    "covers",
    "with_wan22_name",
]


FILE_NAME = "file name"
"""The source of a claim that only the file's name makes."""


class Claim(NamedTuple):
    """A value that names a family."""

    family: str  # id of the family, or of a group such as `wan`
    source: str  # metadata key, `adapter_config.<field>` or `file name`
    value: str  # the cleaned value; only the last part of a path


class LineageClaim(NamedTuple):
    """A value that names a checkpoint."""

    lineage: str  # the checkpoint
    source: str  # metadata key, `adapter_config.<field>` or `file name`
    value: str  # the cleaned value; only the last part of a path
    family: str | None = None  # family or group of the checkpoint; None if unknown


def best_lineage(claims: Sequence[LineageClaim]) -> tuple[str | None, str | None, str | None]:
    """Return the most trusted lineage, its source and its value.

    If the source names several, as the name of a mix does, all are returned: `Illustrious, Pony`.
    """
    if not claims:
        return None, None, None
    first = claims[0]
    names = dict.fromkeys(claim.lineage for claim in claims if claim[1:3] == first[1:3])
    return ", ".join(names), first.source, first.value


class Targets(NamedTuple):
    """Modules of the denoiser that PEFT's configuration selects.

    Attributes:
        modules: Names or endings of dotted names, or one regular expression for whole names.
        excluded: Names or endings of dotted names that are excluded.
    """

    modules: tuple[str, ...] | str
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims about the base model.

    Attributes:
        is_specific: The first claim may decide between families that the tensors allow: its label
            is not also written on adapters of a derived architecture.
        targets: Modules that PEFT's configuration selects; None if unknown, or if only some layers
            are adapted.
    """

    first: Claim | None = None  # the most trusted claim
    others: tuple[Claim, ...] = ()  # all other claims
    lineages: tuple[LineageClaim, ...] = ()  # claimed checkpoints, the most trusted first
    is_specific: bool = False
    targets: Targets | None = None

    @property
    def lineage(self) -> str | None:
        """The most trusted lineage."""
        return best_lineage(self.lineages)[0]


def claims_of(
    metadata: Mapping[str, str], config: AdapterConfig | None = None, name: str = ""
) -> Claims:
    """Return all claims about the base model. Invalid values are ignored.

    Args:
        config: The `adapter_config.json` beside the file.
        name: The file's name, which matters only for Wan 2.2.
    """
    embedded = embedded_configs(metadata)
    settings = onetrainer_config(metadata)
    bases = _named_bases(embedded, config, settings)
    table = lineages()
    found = _ranked(list(_claims(metadata, settings, bases, table)), metadata)
    return Claims(
        first=found[0] if found else None,
        others=tuple(found[1:]),
        lineages=tuple(_lineages(metadata, bases, table, name)),
        is_specific=bool(found) and _is_specific(found),
        targets=_targets(embedded, config),
    )


_Base = tuple[str, str, bool]  # source, name, whether it is a local path


def _named_bases(
    embedded: Sequence[AdapterConfig], config: AdapterConfig | None, settings: Mapping[str, object]
) -> tuple[_Base, ...]:
    """Return the base models that configurations name, with their sources."""
    field = "base_model_name_or_path"
    found = [] if config is None else [("adapter_config." + field, config)]
    found += [(f"lora_adapter_metadata.{entry.component}.{field}", entry) for entry in embedded]
    name = settings.get("base_model_name")
    if isinstance(name, str):
        found.append(("ot_config.base_model_name", AdapterConfig.of({field: name})))
    return tuple(
        (source, entry.base_model_name_or_path, entry.is_local)
        for source, entry in found
        if entry.base_model_name_or_path
    )


_BASE = "base_model_name"
_LABELS = ("ss_base_model_version", "modelspec.architecture")
_HASHES = ("ss_new_sd_model_hash", "ss_sd_model_hash")
_CHECKPOINT = "ss_sd_model_name"


def _claims(
    metadata: Mapping[str, str],
    settings: Mapping[str, object],
    bases: Sequence[_Base],
    table: Lineages,
) -> Iterator[Claim]:
    """Yield all claims, the most trusted first."""
    for family, source, value in _labels(metadata, settings, bases, table):
        if family is not None:
            yield Claim(family, source, public_text(value, _MOST_VALUE))


def _labels(
    metadata: Mapping[str, str],
    settings: Mapping[str, object],
    bases: Sequence[_Base],
    table: Lineages,
) -> Iterator[tuple[str | None, str, str]]:
    for key in _LABELS:
        label = first_text(metadata, key, most=_MOST_VALUE) or ""
        yield family_of_label(label), key, label
    kind = str(settings.get("model_type") or "")[:_MOST_VALUE]
    yield family_of_label(kind), "ot_config.model_type", kind
    for source, base, _ in bases:
        for family in _families_of(base, table):
            yield family, source, base
    for key in _HASHES:
        digest = first_text(metadata, key, most=_MOST_VALUE) or ""
        yield table.family_of(table.by_hash(digest)), key, digest
    name = _checkpoint(metadata)
    for family in _families_of(name, table):
        yield family, _CHECKPOINT, name
    module = first_text(metadata, "ss_network_module") or ""
    yield family_of_network(module), "ss_network_module", module
    if metadata.get("ss_v2") == "True":
        yield "sd2", "ss_v2", "True"


_MOST_VALUE = 120


def _families_of(name: str, table: Lineages) -> list[str]:
    """Return the families of a checkpoint's name, by the table of lineages and by patterns."""
    found = dict.fromkeys(filter(None, map(table.family_of, table.by_name(name))))
    named = family_of_checkpoint(name)
    if named is None or any(family != named and covers(named, family) for family in found):
        return list(found)
    members = {family: named for family in found if covers(family, named)}  # group to its member
    return list(dict.fromkeys(members.get(family, family) for family in found)) or [named]


def _checkpoint(metadata: Mapping[str, str]) -> str:
    return public_name(first_text(metadata, _CHECKPOINT, most=4 * _MOST_VALUE) or "", _MOST_VALUE)


def _ranked(found: list[Claim], metadata: Mapping[str, str]) -> list[Claim]:
    """Return claims with the best one first.

    A trainer's default value comes last. A derived architecture precedes its parent, and a family
    the group that includes it, whatever their sources.
    """
    if not found:
        return found
    found.sort(key=lambda claim: _is_default(claim, metadata))  # stable
    best = found[0]
    for claim in found[1:]:
        is_child = parent_of(claim.family) == best.family
        is_member = claim.family != best.family and covers(best.family, claim.family)
        if is_child or is_member:
            best = claim
    found.remove(best)
    return [best, *found]


def _is_default(claim: Claim, metadata: Mapping[str, str]) -> bool:
    """Early ai-toolkit wrote Stable Diffusion 1.5 for every model that it didn't know."""
    return claim.source == _LABELS[0] and squash(claim.value) == "sd15" and "software" in metadata


# Architectures with derived ones, whose adapters have labels of their own.
_OWN_LABELS = frozenset(
    {
        "cogvideox_5b",
        "cosmos_predict2_2b",
        "qwen_image",
        "sd2",
        "wan_14b",
        "wan_14b_i2v",
        "wan_1_3b",
    }
)


def _is_specific(found: Sequence[Claim]) -> bool:
    first = found[0]
    if first.family not in (parents() | {"sd1"}) - _OWN_LABELS:
        return True
    if first.family == "sd1" and squash(first.value) != "sd15":
        return True  # sd-scripts and ModelSpec write v1 or v2 as the model was loaded
    bases = {*_HASHES, _CHECKPOINT}
    return any(
        claim.family == first.family and (claim.source in bases or _BASE in claim.source)
        for claim in found
    )


def _lineages(
    metadata: Mapping[str, str], bases: Sequence[_Base], table: Lineages, name: str
) -> Iterator[LineageClaim]:
    """Yield all claimed lineages, the most trusted first."""
    for lineage, source, value, family in _lineage_labels(metadata, bases, table):
        if lineage is not None:
            known = table.family_of(lineage) or family
            yield LineageClaim(lineage, source, public_text(value, _MOST_VALUE), known)
    file = re.split(r"[\\/]", name)[-1]
    is_animate = _ANIMATE in table.by_name(file)
    if is_animate or _WAN22.search(file.lower()):
        lineage = _ANIMATE if is_animate else "Wan 2.2"
        family = table.family_of(lineage)
        yield LineageClaim(lineage, FILE_NAME, public_text(file, _MOST_VALUE), family)


_Label = tuple[str | None, str, str, str | None]  # lineage, source, value, family


def _lineage_labels(
    metadata: Mapping[str, str], bases: Sequence[_Base], table: Lineages
) -> Iterator[_Label]:
    for key in _HASHES:
        digest = first_text(metadata, key, most=_MOST_VALUE) or ""
        yield table.by_hash(digest), key, digest, None
    checkpoint = _checkpoint(metadata)
    for lineage in table.by_name(checkpoint):
        yield lineage, _CHECKPOINT, checkpoint, None
    for source, base, is_local in bases:
        is_public = not is_local and ("/" in base or is_name_without_owner(base))
        for lineage in table.by_name(base) or ((base,) if is_public else ()):
            yield lineage, source, base, family_of_checkpoint(base)
    for key in _LABELS:
        label = first_text(metadata, key, most=_MOST_VALUE) or ""
        variant = lineage_of_label(label)
        # musubi-tuner writes the architecture `wan2.1` for all versions of Wan.
        is_default = (key, variant) == (_LABELS[1], "Wan 2.1")
        yield None if is_default else variant, key, label, family_of_label(label)


def with_wan22_name(claims: Claims, name: str) -> Claims | None:
    """Return claims with the one that a file's name makes, or None if it makes none.

    Only Wan 2.2 A14B has models for high and low noise. It has the layers of Wan 14B, also as image
    to video. Wan 2.2 Animate has layers for an image, like Wan 2.1.
    """
    file = re.split(r"[\\/]", name)[-1]
    first = claims.first
    is_animate = any(claim.lineage == _ANIMATE for claim in claims.lineages)
    family = "wan_animate" if is_animate else "wan22"
    is_other = first is not None and not covers(first.family, family)
    if not (is_animate or _WAN22.search(file.lower()) or noise_half(file)) or is_other:
        return None
    others = claims.others if first is None else (first, *claims.others)
    claim = Claim(family, FILE_NAME, public_text(file, _MOST_VALUE))
    return replace(claims, first=claim, others=others, is_specific=True)


_ANIMATE = "Wan 2.2 Animate"
_WAN22 = re.compile(r"(?<![a-z])wan[._-]?2[._-]?2(?![0-9])")


def _targets(embedded: Sequence[AdapterConfig], config: AdapterConfig | None) -> Targets | None:
    of_denoiser = [entry for entry in embedded if entry.component in {"", *DENOISERS}]
    chosen = of_denoiser[0] if of_denoiser else None if embedded else config
    if chosen is None or chosen.target_modules is None or chosen.layers_to_transform is not None:
        return None
    excluded = chosen.exclude_modules or ()
    if isinstance(excluded, str) or chosen.target_modules == "all-linear":
        return None
    return Targets(chosen.target_modules, excluded)
