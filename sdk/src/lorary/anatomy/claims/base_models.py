"""What the metadata claims about the base model: its family, and its lineage.

A family is an architecture; a lineage is the checkpoint behind it (Pony, FLUX.1 schnell), which
no tensor of an adapter can show. Claims are kept as they are, lies too: what the tensors prove is
said beside them, never in their place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from lorary.anatomy.claims.config import DENOISERS, AdapterConfig, embedded_configs
from lorary.anatomy.claims.experts import half_of
from lorary.anatomy.claims.lineages import Lineages, lineages
from lorary.anatomy.claims.metadata import file_told, present, told
from lorary.anatomy.claims.onetrainer import onetrainer_config
from lorary.anatomy.claims.vocabulary import (
    by_checkpoint,
    by_label,
    covers,
    is_model_without_owner,
    parent_of,
    parents,
    squash,
    trained_by,
    variant_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "FILE_NAME",
    "Claim",
    "Claims",
    "LineageClaim",
    "Targets",
    "best_lineage",
    "claims_of",
    "covers",
    "named_wan22",
]


FILE_NAME = "file name"
"""Source of what only the file's name tells."""


class Claim(NamedTuple):
    """One place that names a family.

    Attributes:
        family: Id of the family, or of a group such as `wan`.
        source: Metadata key, `adapter_config.<field>` or `file name`.
        value: What it says there, cleaned; of a path, the last part only.
    """

    family: str
    source: str
    value: str


class LineageClaim(NamedTuple):
    """One place that names a checkpoint.

    Attributes:
        lineage: The checkpoint.
        source: Metadata key, `adapter_config.<field>` or `file name`.
        value: What it says there, cleaned; of a path, the last part only.
        family: Family or group of the checkpoint; None when it is not known.
    """

    lineage: str
    source: str
    value: str
    family: str | None = None


def best_lineage(told: Sequence[LineageClaim]) -> tuple[str | None, str | None, str | None]:
    """The lineage to trust most, its source and what it says there.

    Of a source that names several, as the name of a mix does, all are given: `Illustrious, Pony`.
    """
    if not told:
        return None, None, None
    first = told[0]
    names = dict.fromkeys(one.lineage for one in told if one[1:3] == first[1:3])
    return ", ".join(names), first.source, first.value


class Targets(NamedTuple):
    """Modules of the denoiser that PEFT was told to adapt.

    Attributes:
        modules: Names or endings of dotted names, or one regular expression for whole names.
        excluded: Names or endings of dotted names that were left out.
    """

    modules: tuple[str, ...] | str
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """Everything that is claimed about the base model.

    Attributes:
        first: The claim to trust most.
        others: All others.
        lineages: Checkpoints that it is said to be trained on, in the order of trust.
        is_specific: The first claim may pick one of several families that the tensors allow: its
            label is not one that is also written on adapters of a derived architecture.
        targets: Modules that PEFT was told to adapt; None when it is not known, or when only some
            layers were.
    """

    first: Claim | None = None
    others: tuple[Claim, ...] = ()
    lineages: tuple[LineageClaim, ...] = ()
    is_specific: bool = False
    targets: Targets | None = None

    @property
    def lineage(self) -> str | None:
        """The checkpoint that it was trained on, by the source to trust most."""
        return best_lineage(self.lineages)[0]

    @property
    def lineage_source(self) -> str | None:
        """Where that is said."""
        return best_lineage(self.lineages)[1]

    @property
    def lineage_value(self) -> str | None:
        """What it says there."""
        return best_lineage(self.lineages)[2]


def claims_of(
    metadata: Mapping[str, str], config: AdapterConfig | None = None, name: str = ""
) -> Claims:
    """Collect what is claimed about the base model; nothing here fails on odd values.

    Args:
        metadata: The header's metadata.
        config: The `adapter_config.json` beside the file.
        name: The file's name; only Wan 2.2 files say more in it than inside.
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


_Base = tuple[str, str, bool]  # source, name, whether it was a local path


def _named_bases(
    embedded: Sequence[AdapterConfig], config: AdapterConfig | None, settings: Mapping[str, object]
) -> tuple[_Base, ...]:
    """Base models that configurations name, each with its source."""
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
    """Every claim, in the order of trust."""
    for family, source, value in _said(metadata, settings, bases, table):
        if family is not None:
            yield Claim(family, source, told(value, _MOST_VALUE))


def _said(
    metadata: Mapping[str, str],
    settings: Mapping[str, object],
    bases: Sequence[_Base],
    table: Lineages,
) -> Iterator[tuple[str | None, str, str]]:
    for key in _LABELS:
        label = present(metadata, key, most=_MOST_VALUE) or ""
        yield by_label(label), key, label
    kind = str(settings.get("model_type") or "")[:_MOST_VALUE]
    yield by_label(kind), "ot_config.model_type", kind
    for source, base, _ in bases:
        for family in _families_of(base, table):
            yield family, source, base
    for key in _HASHES:
        digest = present(metadata, key, most=_MOST_VALUE) or ""
        yield table.family_of(table.by_hash(digest)), key, digest
    name = _checkpoint(metadata)
    for family in _families_of(name, table):
        yield family, _CHECKPOINT, name
    module = present(metadata, "ss_network_module") or ""
    yield trained_by(module), "ss_network_module", module
    if metadata.get("ss_v2") == "True":
        yield "sd2", "ss_v2", "True"


_MOST_VALUE = 120


def _families_of(name: str, table: Lineages) -> list[str]:
    """Families that a checkpoint's name names, by the table and by patterns."""
    found = dict.fromkeys(filter(None, map(table.family_of, table.by_name(name))))
    named = by_checkpoint(name)
    if named is None or any(family != named and covers(named, family) for family in found):
        return list(found)
    closer = {family: named for family in found if covers(family, named)}  # of a group, a member
    return list(dict.fromkeys(closer.get(family, family) for family in found)) or [named]


def _checkpoint(metadata: Mapping[str, str]) -> str:
    return file_told(present(metadata, _CHECKPOINT, most=4 * _MOST_VALUE) or "", _MOST_VALUE)


def _ranked(found: list[Claim], metadata: Mapping[str, str]) -> list[Claim]:
    """Claims with the best first.

    A default that a trainer writes for everything comes last; a derived architecture goes before
    its parent, and a family before the group that includes it, whoever names them.
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
    """Early ai-toolkit wrote Stable Diffusion 1.5 into files for every model it did not know."""
    return claim.source == _LABELS[0] and squash(claim.value) == "sd15" and "software" in metadata


def _is_specific(found: Sequence[Claim]) -> bool:
    first = found[0]
    if first.family not in (parents() | {"sd1"}) - {"wan_14b", "cosmos_predict2_2b"}:
        return True
    if first.family == "sd1" and squash(first.value) != "sd15":
        return True  # sd-scripts and ModelSpec say v1 or v2 as they loaded it
    bases = {*_HASHES, _CHECKPOINT}
    return any(
        claim.family == first.family and (claim.source in bases or _BASE in claim.source)
        for claim in found
    )


def _lineages(
    metadata: Mapping[str, str], bases: Sequence[_Base], table: Lineages, name: str
) -> Iterator[LineageClaim]:
    """Every lineage that is told, in the order of trust."""
    for lineage, source, value, family in _told(metadata, bases, table):
        if lineage is not None:
            known = table.family_of(lineage) or family
            yield LineageClaim(lineage, source, told(value, _MOST_VALUE), known)
    file = re.split(r"[\\/]", name)[-1]
    is_animate = _ANIMATE in table.by_name(file)
    if is_animate or _WAN22.search(file.lower()):
        lineage = _ANIMATE if is_animate else "Wan 2.2"
        family = table.family_of(lineage)
        yield LineageClaim(lineage, FILE_NAME, told(file, _MOST_VALUE), family)


_Told = tuple[str | None, str, str, str | None]  # lineage, source, value, family


def _told(metadata: Mapping[str, str], bases: Sequence[_Base], table: Lineages) -> Iterator[_Told]:
    for key in _HASHES:
        digest = present(metadata, key, most=_MOST_VALUE) or ""
        yield table.by_hash(digest), key, digest, None
    checkpoint = _checkpoint(metadata)
    for lineage in table.by_name(checkpoint):
        yield lineage, _CHECKPOINT, checkpoint, None
    for source, base, is_local in bases:
        is_public = not is_local and ("/" in base or is_model_without_owner(base))
        for lineage in table.by_name(base) or ((base,) if is_public else ()):
            yield lineage, source, base, by_checkpoint(base)
    for key in _LABELS:
        label = present(metadata, key, most=_MOST_VALUE) or ""
        variant = variant_of(label)
        # musubi-tuner writes the architecture `wan2.1` for every Wan.
        is_default = (key, variant) == (_LABELS[1], "Wan 2.1")
        yield None if is_default else variant, key, label, by_label(label)


def named_wan22(claims: Claims, name: str) -> Claims | None:
    """Claims with the one that only a file's name makes; None when it makes none.

    Only Wan 2.2 A14B has models for high and for low noise. Its layers are those of Wan 14B, also
    where it makes videos of images. Wan 2.2 Animate has layers for an image, as Wan 2.1 has.
    """
    file = re.split(r"[\\/]", name)[-1]
    is_told = _WAN22.search(file.lower()) or half_of(file)
    first = claims.first
    is_animate = any(one.lineage == _ANIMATE for one in claims.lineages)
    is_other = first is not None and not covers(first.family, "wan22")
    if not is_told or is_animate or is_other:
        return None
    others = claims.others if first is None else (first, *claims.others)
    claim = Claim("wan22", FILE_NAME, told(file, _MOST_VALUE))
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
