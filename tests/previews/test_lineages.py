"""Measured lineages: begun for the author's pictures, measured once, shown, never a claim."""

from __future__ import annotations

import dataclasses
import io
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from celery import current_app
from django.test import Client
from PIL import Image
from safetensors.torch import load_file, save_file

from previews import tasks, withdrawals
from previews.lineages import measuring, selectors, services
from previews.models import MeasuredLineage, Sample, SampleState
from previews.render import load_bases
from previews.render.engine import Engine
from previews.render.lineage.verdict import LEVELS, METHOD, SEEDS
from registry.blobs import promote
from registry.jobs import queue, worker_process
from registry.models import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

QUEUE = "render.miniature"


def changed(folder: Path, source: Path, spread: float) -> Path:
    """Copy a base with other weights in its UNet."""
    shutil.copytree(source, folder)
    file = next((folder / "unet").glob("*.safetensors"))
    random = torch.Generator().manual_seed(3)
    weights = {
        name: (tensor.float() * (1 + spread * torch.randn(tensor.shape, generator=random))).to(
            tensor.dtype
        )
        for name, tensor in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def other_folder(tiny_folder: Path) -> Path:
    return changed(tiny_folder.with_name("other"), tiny_folder, 0.5)


@pytest.fixture
def two_bases(
    settings: Settings, bases_file: Path, other_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    del other_folder
    table = bases_file.read_text().removeprefix("[bases.tiny]\n")
    file = bases_file.with_name("two.toml")
    file.write_text(
        f'[bases.tiny]\n{table}lineage = "Tiny"\n\n'
        f'[bases.other]\n{table.replace("tiny", "other")}title = "Other"\n'
    )
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    engine = _engine(file.read_text(), file)
    monkeypatch.setattr(tasks, "_engine", lambda _file: engine)
    return file


@cache
def _engine(_table: str, file: Path) -> Engine:
    """Return one engine for all tests of a bases file, which keeps its bases open."""
    return Engine(load_bases(file), keep=3)


@pytest.fixture
def version(two_bases: Path, noir: Adapter, publish: Callable[..., Version]) -> Version:
    del two_bases
    version = publish(noir)
    Job.objects.all().delete()  # its previews
    return version


@pytest.fixture
def show(ada: User) -> Callable[..., Sample]:
    """Add a picture of a version's gallery as if it was read."""

    def shown(version: Version, colour: str, prompt: str = "a cat <lora:noir:0.8>, neon") -> Sample:
        buffer = io.BytesIO()
        Image.new("RGB", (80, 64), colour).save(buffer, "WEBP", lossless=True)
        blob = promote.mark_stored(promote.put([buffer.getvalue()]))
        return Sample.objects.create(
            version=version,
            author=ada,
            state=SampleState.READY,
            blob=blob,
            width=80,
            height=64,
            facts={"prompt": prompt} if prompt else {},
        )

    return shown


@pytest.fixture
def shown(version: Version, show: Callable[..., Sample]) -> Version:
    for colour in ("red", "green", "blue"):
        show(version, colour)
    return version


def measure(version: Version) -> MeasuredLineage:
    assert services.begin(version=version) is not None
    worker_process.drain(QUEUE)
    return MeasuredLineage.objects.get(version=version)


def test_it_is_measured_once_with_everything_that_makes_it_repeatable(shown: Version) -> None:
    found = measure(shown)
    told, recipe = found.document, found.document["recipe"]
    assert {one["base"]: one["lineage"] for one in told["bases"]} == {
        "tiny": "Tiny", "other": "Other",
    }  # fmt: skip
    assert len({one["digest"] for one in told["bases"]}) == 2
    assert (recipe["levels"], recipe["seeds"]) == (list(LEVELS), list(SEEDS))
    assert (recipe["width"], recipe["height"], recipe["strength"]) == (64, 64, 1.0)
    file = shown.primary_file
    assert file is not None
    assert recipe["weights"] == [file.sha256]
    assert len(recipe["pictures"]) == 3
    assert {one["prediction"] for one in told["bases"]} == {"v_prediction"}
    assert (found.method, told["left_out"]) == (METHOD, [])
    job = Job.objects.get(task=services.MEASURE_TASK)
    assert (job.priority, job.state, job.done, job.total) == (
        queue.BACKGROUND, JobState.DONE, 6, 6,
    )  # fmt: skip
    before = found.measured_at
    assert measure(shown).measured_at == before


def test_the_same_inputs_give_the_same_numbers(shown: Version) -> None:
    first = measure(shown).document
    MeasuredLineage.objects.all().delete()
    assert measure(shown).document == first


def test_more_pictures_and_another_strength_are_measured_anew(
    shown: Version, show: Callable[..., Sample]
) -> None:
    first = measure(shown)
    show(shown, "white")
    second = measure(shown)
    assert len(second.document["recipe"]["pictures"]) == 4
    type(shown).objects.filter(pk=shown.pk).update(strength=0.5)
    shown.refresh_from_db()
    third = measure(shown)
    assert third.document["recipe"]["strength"] == 0.5
    digests = {first.inputs_digest, second.inputs_digest, third.inputs_digest}
    assert len(digests) == 3
    assert first.pk == third.pk


def test_it_needs_pictures_with_prompts_and_two_lineages(
    version: Version, show: Callable[..., Sample], two_bases: Path, settings: Settings
) -> None:
    for colour in ("red", "green"):
        show(version, colour)
    show(version, "blue", prompt="")
    assert services.begin(version=version) is None
    show(version, "white")
    assert services.begin(version=version) is not None
    one = two_bases.with_name("one.toml")
    one.write_text(two_bases.read_text().replace('title = "Other"', 'lineage = "Tiny"'))
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=one)
    worker_process.drain(QUEUE)
    assert not MeasuredLineage.objects.exists()
    assert measuring.bases_of(load_bases(one), version.family) == []


def test_marks_of_other_programs_are_no_words(shown: Version) -> None:
    assert {measuring.prompt_of(one) for one in selectors.pictures_of(shown)} == {"a cat , neon"}


def start() -> None:
    """Start a worker, and have it work on lineages until nothing is left."""
    tasks.queue_waiting()
    kept = (tasks.BEGIN_LINEAGES_TASK, services.MEASURE_TASK)
    Job.objects.exclude(task__in=kept).delete()
    worker_process.drain(*current_app.amqp.queues.consume_from, QUEUE)


def test_a_worker_that_starts_begins_what_is_missing(shown: Version) -> None:
    start()
    found = MeasuredLineage.objects.get(version=shown)
    start()
    assert Job.objects.filter(task=services.MEASURE_TASK).count() == 1
    MeasuredLineage.objects.update(bases_digest="0" * 64, inputs_digest="0" * 64)
    start()
    assert MeasuredLineage.objects.get().bases_digest == found.bases_digest


def document(version: Version) -> dict[str, Any]:
    place = f"/api/v1/adapters/{version.adapter.full_name}/versions/{version.name}"
    base: dict[str, Any] = Client().get(place).json()["anatomy"]["base"]
    return base


def told(version: Version, lineage: str, difference: float, *, is_told: bool) -> None:
    """Store a record with these figures."""
    found = measure(version)
    first, second = found.document["bases"]
    first |= {"lineage": "Tiny", "difference": 0.0, "is_significant": False}
    second |= {"lineage": "Other", "difference": difference, "is_significant": is_told}
    second["standard_error"] = 0.002
    found.document["lineage"], found.lineage = lineage or None, lineage
    found.save()


def test_what_is_told_comes_before_estimates_and_changes_no_claim(shown: Version) -> None:
    before = document(shown)
    assert "measured_lineage" not in before
    told(shown, "Tiny", 0.031, is_told=True)
    base = document(shown)
    assert base["measured_lineage"]["lineage"] == "Tiny"
    evidence = [(one["lineage"], one["stance"], one["confidence"], one["rule"])
                for one in base["lineage_evidence"][:2]]  # fmt: skip
    assert evidence == [
        ("Tiny", "for", "measured", "denoising"),
        ("Other", "against", "measured", "denoising"),
    ]
    assert base["lineage"] == before["lineage"]
    assert base["lineage_evidence"][2:] == before.get("lineage_evidence", [])
    page = Client().get("/ada/noir").content.decode()
    assert "Measured: Tiny denoises the author&#x27;s pictures best" in page
    assert "the error is 3.1% larger, ± 0.2%" in page
    assert "3 pictures × 6 noise levels × 2 seeds on 2 base models" in page


def test_what_is_not_significant_says_cannot_tell(shown: Version) -> None:
    told(shown, "", 0.001, is_told=False)
    base = document(shown)
    assert base["measured_lineage"]["lineage"] is None
    assert not [one for one in base["lineage_evidence"] if one["rule"] == "denoising"]
    page = Client().get("/ada/noir").content.decode()
    assert "Measured: Cannot tell: the difference between Tiny and Other is not certain" in page


def test_it_goes_with_the_version(shown: Version) -> None:
    measure(shown)
    withdrawals.on_version_withdrawn(shown.pk)
    assert not MeasuredLineage.objects.exists()


def test_a_base_that_cannot_be_measured_is_left_out(
    shown: Version, two_bases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (two_bases.parent / "broken").mkdir(exist_ok=True)
    (two_bases.parent / "broken" / "model_index.json").write_text("{}")
    table = two_bases.read_text().partition("\n\n")[0].replace("tiny", "broken")
    two_bases.write_text(two_bases.read_text() + "\n" + table.replace("Tiny", "Broken") + "\n")
    engine = Engine(load_bases(two_bases), keep=3)
    monkeypatch.setattr(tasks, "_engine", lambda _file: engine)
    found = measure(shown).document
    assert {one["base"] for one in found["bases"]} == {"tiny", "other"}
    assert [one["base"] for one in found["left_out"]] == ["broken"]
