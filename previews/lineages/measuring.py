"""Measures the lineage of a version in a render worker, and stores the record."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from previews import local_weights
from previews.lineages.selectors import pictures_of
from previews.models import MeasuredLineage, Sample
from previews.pictures.services import bytes_of
from previews.render import Base, Bases, BaseUnavailable, CannotMeasure, CannotRender
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
from registry.jobs.queue import Fail
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


def measure(inputs: Inputs, engine: Engine, on_scene: Callable[[], None]) -> None:
    """Measure a version on all its bases, and store the record.

    Args:
        on_scene: Called after each picture on each base; may raise.

    Raises:
        Fail: the adapter fits fewer than two lineages.
        OutOfMemory, FileNotFoundError: see ``Engine.denoise`` and ``local_weights``.
    """
    from previews.render.lineage.denoising import Scene  # noqa: PLC0415 - imports torch

    scenes = [Scene(bytes_of(_sha256(one)), prompt_of(one)) for one in inputs.pictures]
    found: dict[str, Denoised] = {}
    left_out: list[dict[str, str]] = []
    with ExitStack() as files:
        layers = files.enter_context(local_weights.layers_of(inputs.version, inputs.strength))
        for base in inputs.bases:
            try:
                size = _size(inputs.bases)
                found[base.id] = engine.denoise(base.id, layers, scenes, size, on_scene)
            except (BaseUnavailable, CannotMeasure, CannotRender) as error:
                log.warning("lineage of version %s: %s", inputs.version.pk, error)
                left_out.append({"base": base.id, "reason": str(error)[:300]})
        recipe = inputs.recipe(layers)
    measured = [
        Measured(base.id, base.lineage_name, found[base.id].errors)
        for base in inputs.bases
        if base.id in found
    ]
    if len({one.lineage for one in measured}) < 2:
        raise Fail(_("The adapter fits too few base models of this worker."))
    document = {
        **_document(measured, {base.id: _facts(base, engine, found) for base in inputs.bases}),
        "left_out": left_out,
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
    """Return the verdict as a JSON document, the best base first."""
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
