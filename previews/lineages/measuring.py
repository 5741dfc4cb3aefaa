"""Measures the lineage of a version in a render worker, and stores the record."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from previews import local_weights
from previews.lineages.selectors import pictures_of
from previews.models import MeasuredLineage, Sample
from previews.pictures.services import bytes_of
from previews.render import Base, Bases, CannotMeasure, CannotRender
from previews.render.bases.verify import pipelines_of
from previews.render.lineage.verdict import (
    ALIKE,
    FEWEST,
    LEVELS,
    METHOD,
    PIPELINES,
    SEEDS,
    SIGNIFICANCE,
    Measured,
    judge,
)
from previews.render.recipe import digest_of
from registry.models import Version

if TYPE_CHECKING:
    from previews.render.engine import Engine
    from previews.render.lineage.denoising import Denoised
    from previews.render.recipe import Layer

log = logging.getLogger(__name__)

#: Marks in prompts that name adapters, which are no words for a text encoder: ``<lora:noir:0.8>``.
_MARKS = re.compile(r"<[a-z]{2,10}:[^<>]{0,200}>", re.IGNORECASE)


def is_measurable(base: Base) -> bool:
    """Return whether a base makes still pictures by denoising that can be measured."""
    names = pipelines_of(base)
    return base.output == "image" and bool(names) and PIPELINES.issuperset(names)


def bases_of(bases: Bases, family: str) -> list[Base]:
    """Return the bases that a lineage is measured with; [] if they are all of one lineage."""
    found = [base for base in bases.serving(family) if is_measurable(base)]
    return found if len({base.lineage_name for base in found}) > 1 else []


def digest_of_bases(engine: Engine, bases: Sequence[Base]) -> str:
    """Return the digest of the files and settings of bases, and of their lineages."""
    named = {base.id: [base.lineage_name, engine.fingerprint(base.id)] for base in bases}
    return digest_of({"method": METHOD, "bases": named, "size": list(_size(bases))})


def _size(bases: Sequence[Base]) -> tuple[int, int]:
    """Return width and height of the pictures: what every base was trained on."""
    return min(base.width for base in bases), min(base.height for base in bases)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is measured: pictures of a version with its adapter, on several bases."""

    version: Version
    bases: Sequence[Base]
    bases_digest: str
    pictures: Sequence[Sample]
    strength: float

    @classmethod
    def of(cls, version: Version, bases: Sequence[Base], bases_digest: str) -> Inputs:
        """Return the inputs of a version as it is now."""
        strength = float(version.strength or 1.0)
        return cls(version, bases, bases_digest, pictures_of(version), strength)

    @property
    def digest(self) -> str:
        """64 hex digits that change with anything that is measured."""
        file = self.version.primary_file
        return digest_of(
            {
                "bases": self.bases_digest,
                "family": self.version.family,
                "weights": file.sha256 if file else "",
                "strength": self.strength,
                "pictures": [[_sha256(one), prompt_of(one)] for one in self.pictures],
            }
        )

    def recipe(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Return how it is measured, as a JSON document."""
        width, height = _size(self.bases)
        return {
            "method": METHOD,
            "levels": list(LEVELS),
            "seeds": list(SEEDS),
            "width": width,
            "height": height,
            "strength": self.strength,
            "weights": [layer.sha256 for layer in layers],
            "pictures": [{"id": one.pk, "sha256": _sha256(one)} for one in self.pictures],
            "significance": SIGNIFICANCE,
            "smallest_difference": ALIKE,
        }


def _sha256(picture: Sample) -> str:
    return picture.blob.sha256 if picture.blob else ""


def prompt_of(picture: Sample) -> str:
    """Return the prompt of a picture, without marks of other programs."""
    return " ".join(_MARKS.sub(" ", str(picture.facts["prompt"])).split())


def is_current(inputs: Inputs) -> bool:
    """Return whether the record has these inputs, or there is too little to measure."""
    if len(inputs.pictures) < FEWEST:
        return True
    rows = MeasuredLineage.objects.filter(version=inputs.version)
    return rows.filter(inputs_digest=inputs.digest).exists()


@dataclass(frozen=True, slots=True)
class _Finished:
    """Bases of a measurement that are finished: their errors, or the code of why there are none."""

    errors: dict[str, Denoised] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


#: By the digest of its inputs, the measurement that was stopped last in this process; it goes on.
_STOPPED: dict[str, _Finished] = {}


def measure(
    inputs: Inputs,
    engine: Engine,
    on_scene: Callable[[int], None],
    between_bases: Callable[[], None],
) -> None:
    """Measure a version on all its bases, and store the record.

    The record has no bases if the adapter fits fewer than two lineages. Bases that were finished
    before an exception are not measured again in this process.

    Args:
        on_scene: Called with the number of pictures done, of all bases; may raise.
        between_bases: Likewise, before each further base.

    Raises:
        BaseUnavailable, OutOfMemory, FileNotFoundError: see ``Engine.denoise`` and
            ``local_weights``.
    """
    from previews.render.lineage.denoising import Scene  # noqa: PLC0415 - imports torch

    finished = _STOPPED.get(inputs.digest, _Finished())
    _STOPPED.clear()
    _STOPPED[inputs.digest] = finished
    errors, left_out, size = finished.errors, finished.left_out, _size(inputs.bases)
    scenes = [Scene(bytes_of(_sha256(one)), prompt_of(one)) for one in inputs.pictures]
    with local_weights.layers_of(inputs.version, inputs.strength) as layers:
        for index, base in enumerate(inputs.bases):
            if base.id in errors or base.id in left_out:
                continue
            if index:
                between_bases()
            done = map(on_scene, count(index * len(scenes) + 1))  # called for each picture
            try:
                errors[base.id] = engine.denoise(base.id, layers, scenes, size, done.__next__)
            except (CannotMeasure, CannotRender) as error:
                log.warning("lineage of version %s on %s: %s", inputs.version.pk, base.id, error)
                left_out[base.id] = error.code
        recipe = inputs.recipe(layers)
    _STOPPED.clear()
    measured = [
        Measured(base.id, base.lineage_name, errors[base.id].errors)
        for base in inputs.bases
        if base.id in errors
    ]
    facts = {base.id: _facts(base, engine, errors) for base in inputs.bases}
    document = {
        **_document(measured, facts),
        "left_out": [{"base": base, "reason": reason} for base, reason in left_out.items()],
        "recipe": recipe,
    }
    MeasuredLineage.objects.update_or_create(
        version=inputs.version,
        defaults={
            "method": METHOD,
            "lineage": document["lineage"] or "",
            "document": document,
            "inputs_digest": inputs.digest,
            "bases_digest": inputs.bases_digest,
        },
    )


def _facts(base: Base, engine: Engine, found: Mapping[str, Denoised]) -> dict[str, Any]:
    """Return what a record says about a base."""
    if base.id not in found:
        return {}
    own = found[base.id]
    return {
        "title": base.title or base.id,
        "digest": engine.fingerprint(base.id),
        "prediction": own.prediction,
        "timesteps": list(own.timesteps),
    }


def _document(
    measured: Sequence[Measured], facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the verdict as a JSON document, the best base first; without two lineages, no base."""
    if len({one.lineage for one in measured}) < 2:
        return {"lineage": None, "bases": []}
    verdict = judge(measured)
    rows = [
        {
            "base": one.base,
            "lineage": one.lineage,
            **facts[one.base],
            "error": round(one.error, 6),
            **asdict(verdict.differences[one.base]),
        }
        for one in measured
    ]
    rows.sort(key=lambda row: float(row["difference"]))
    return {"lineage": verdict.lineage or None, "bases": rows}
