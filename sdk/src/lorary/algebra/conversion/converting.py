"""Converts a file into another naming."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorary.algebra.conversion.building import Built, build
from lorary.algebra.conversion.certificate import Certificate, certify
from lorary.algebra.conversion.errors import refuse
from lorary.algebra.conversion.metadata import STALE, adapter_config, metadata_of
from lorary.algebra.conversion.planning import Planned, plan, same
from lorary.algebra.conversion.sources import Source, read_sources
from lorary.algebra.errors import AlgebraError
from lorary.algebra.files import (
    DATA_HASH,
    WeightFile,
    WrittenFile,
    output_path,
    replacing,
    write_weights,
)
from lorary.algebra.naming.relations import FamilyNames, names_of
from lorary.algebra.naming.targets import ALIASES, TARGETS
from lorary.anatomy.claims.config import CONFIG_NAME, config_beside
from lorary.anatomy.families import FAMILIES, family_title, similar_families
from lorary.anatomy.inspection import inspect_file
from lorary.anatomy.report import Anatomy
from lorary.replacing import StrPath

# Families whose files fit another one's pipelines: ComfyUI and A1111 read Kolors' files under the
# names of SDXL, whose UNet it has.
_READ_AS = {"kolors": "sdxl"}

PEFT_NAME = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted file.

    Attributes:
        out: The new file.
        family: The family whose names were used; the first of several that agree. None if the file
            adapts only text encoders.
        converted_from: Convention of the old file, as in its anatomy.
        left_out: Keys of the metadata that were left out.
        config: The `adapter_config.json` that was written beside it, or None.
    """

    out: WrittenFile
    certificate: Certificate
    target: str
    family: str | None
    converted_from: str | None
    left_out: tuple[str, ...] = ()
    config: Path | None = None

    @property
    def lacks_config(self) -> bool:
        """Whether it has PEFT's name and no configuration, because it adapts several models."""
        return self.target == "peft" and self.out.path.name == PEFT_NAME and self.config is None


def convert(
    path: StrPath,
    *,
    to: str,
    out: StrPath,
    family: str | None = None,
    among: Collection[str] = (),
    replaces_config: bool = False,
) -> Conversion:
    """Write a file in another naming, and return it with its certificate.

    Args:
        path: The file. PEFT's `adapter_config.json` beside it is read if it belongs to it.
        to: One of `TARGETS` or `ALIASES`.
        out: The new file. It replaces an existing one, but never the input. Its folder is
            created. If it is named `adapter_model.safetensors` and the target is `peft`,
            `adapter_config.json` is written beside it, unless the file adapts several models.
        family: Id of the base model's family, where the file does not show it.
        among: Families to choose from if the file fits several, or shows none.
        replaces_config: Whether an existing `adapter_config.json` may be replaced. That of the
            input is never replaced.

    Raises:
        AlgebraError: The file can't be converted exactly, `config_exists`, or `same_file`.
        HeaderError: The file breaks a rule of the format.
        OSError: A file can't be read or written.
        ValueError: `to` or `family` doesn't exist.
    """
    target = ALIASES.get(to, to)
    if target not in TARGETS:
        message = f"“{to}” is not a naming; use {', '.join((*TARGETS, *ALIASES))}"
        raise ValueError(message)
    if family is not None and family not in FAMILIES:
        close = similar_families(family)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        message = f"“{family}” is not a family{meant}"
        raise ValueError(message)
    old, new = Path(path), output_path(out, [path])
    with WeightFile(old) as file:
        anatomy = _anatomy(old)
        sources = read_sources(file)
        families = [family] if family else _narrowed(_candidates(anatomy, sources), among)
        names, planned = _plan(sources, families, target)
        modules = [build(one, file, target) for one in planned]
        metadata = metadata_of(file.metadata, modules, target, anatomy.convention)
        config = _config_place(new, modules) if target == "peft" else None
        if config is not None:
            _check_config(old, config, may_replace=replaces_config)
        written, certificate = _write(file, new, modules, metadata)
        if config is not None:
            with replacing(config) as document:
                document.write(adapter_config(modules).encode())
        return Conversion(
            written,
            certificate,
            target,
            None if names is None else names.family.id,
            anatomy.convention,
            tuple(key for key in STALE if key in file.metadata),
            config,
        )


def _anatomy(path: Path) -> Anatomy:
    inspection = inspect_file(path)
    anatomy = inspection.anatomy
    if anatomy is None or anatomy.kind != "adapter":
        message = "The file is not an adapter."
        raise refuse(message, code="not_an_adapter")
    return anatomy


def _narrowed(candidates: Sequence[str], among: Collection[str]) -> Sequence[str]:
    if not among:
        return candidates
    known = [one for one in FAMILIES if one in among and _READ_AS.get(one) not in among]
    return [one for one in candidates if one in known] or known


def _plan(
    sources: Sequence[Source], candidates: Sequence[str], target: str
) -> tuple[FamilyNames | None, list[Planned]]:
    if not candidates:
        if any(source.part == "denoiser" for source in sources):
            message = "The base model is unknown. Name its family with --family."
            raise refuse(message, code="family_unknown")
        return None, plan(None, sources, target)
    known = [names_of(one) for one in candidates]
    if len(known) == 1:
        return known[0], plan(known[0], sources, target)
    plans = [_plan_or_reason(names, sources, target) for names in known]
    found = [one for one in plans if not isinstance(one, AlgebraError)]
    if not found:
        raise next(one for one in plans if isinstance(one, AlgebraError))
    if len(found) < len(plans) or not same(found):
        titles = ", ".join(family_title(one) for one in candidates)
        message = (
            f"The file may be for {titles}, which have different names. "
            f"Name its family with --family ({', '.join(candidates)})."
        )
        raise refuse(message, code="family_unknown", candidates=candidates)
    return known[0], found[0]


def _plan_or_reason(
    names: FamilyNames, sources: Sequence[Source], target: str
) -> list[Planned] | AlgebraError:
    try:
        return plan(names, sources, target)
    except AlgebraError as error:
        return error


def _candidates(anatomy: Anatomy, sources: Sequence[Source]) -> list[str]:
    """Return the families that the file may belong to.

    If no family has its shapes, as for a smaller model of the same design, those that have all of
    its names in the same proportions.
    """
    found = [anatomy.base.family] if anatomy.base.family else list(anatomy.base.candidates)
    found = [one for one in found if one in FAMILIES and _READ_AS.get(one) not in found]
    denoiser = [source for source in sources if source.part == "denoiser"]
    if found or not denoiser:
        return found
    named = [
        family for family in FAMILIES if all(_is_named(names_of(family), one) for one in denoiser)
    ]
    shaped = [
        family for family in named if all(_is_similar(names_of(family), one) for one in denoiser)
    ]
    return shaped or named


def _is_named(names: FamilyNames, source: Source) -> bool:
    return names.locate(source.name, source.place) is not None


def _is_similar(names: FamilyNames, source: Source) -> bool:
    """Return whether a source's weight has the proportions of the family's table."""
    path = names.locate(source.name, source.place)
    shape = None if path is None else names.shape(path)
    if shape is None or len(shape) != 2 or not source.is_pair or source.is_part:
        return True
    width = source.shapes[source.down][1]
    return source.rows * shape[1] == width * shape[0]


def _write(
    file: WeightFile, out: Path, modules: Sequence[Built], metadata: dict[str, str]
) -> tuple[WrittenFile, Certificate]:
    """Write the new file and prove it before it takes its place."""
    tensors = {name: tensor for built in modules for name, tensor in built.tensors.items()}
    if len(tensors) < sum(len(built.tensors) for built in modules):
        message = "Two tensors of the new file would have the same name."
        raise refuse(message, code="not_convertible")
    proofs: list[Certificate] = []

    def prove(part: Path) -> None:
        with WeightFile(part) as new:
            proofs.append(certify(file, new, modules))

    written = write_weights(
        out, tensors, metadata, adds_hash=DATA_HASH in file.metadata, check=prove
    )
    return written, proofs[0]


def _config_place(out: Path, modules: Sequence[Built]) -> Path | None:
    """Return the place of PEFT's configuration: beside a file of one component with PEFT's name."""
    components = {built.planned.component.name for built in modules}
    return None if out.name != PEFT_NAME or len(components) > 1 else out.with_name(CONFIG_NAME)


def _check_config(old: Path, config: Path, *, may_replace: bool) -> None:
    """Refuse to replace the configuration of the input, or any other without permission."""
    if not config.exists():
        return
    is_input = config_beside(old) is not None and config.samefile(old.with_name(CONFIG_NAME))
    if is_input:
        message = f"{config} belongs to the input. Choose another folder."
        raise refuse(message, code="config_exists")
    if not may_replace:
        message = f"{config} exists. Choose another folder, or replace it with --force."
        raise refuse(message, code="config_exists")
