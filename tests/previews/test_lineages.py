"""Measured lineages: begun for the author's pictures, measured once, shown, never a claim."""

from __future__ import annotations

import dataclasses
import io
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from celery import current_app
from django.test import Client
from PIL import Image
from safetensors.torch import load_file, save_file

from previews import tasks, withdrawals
from previews.lineages import measuring, selectors, services
from previews.models import MeasuredLineage, Sample, SampleState
from previews.render import CannotRender, Why, load_bases
from previews.render.engine import Engine
from previews.render.lineage.denoising import Denoised
from previews.render.lineage.verdict import LEVELS, METHOD, SEEDS
from previews.samples import services as samples
from registry.blobs import promote
from registry.jobs import queue, worker_process
from registry.models import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture
def quick(two_bases: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measure without a model: the first base is the best. Return the bases that were asked."""
    del two_bases
    asked: list[str] = []

    def denoise(
        base: str, _stack: Any, scenes: list[Any], _size: Any, on_scene: Callable[[], None]
    ) -> Denoised:
        asked.append(base)
        for _ in scenes:
            on_scene()
        errors = np.full((len(scenes), len(LEVELS), len(SEEDS)), 1.0 if base == "tiny" else 2.0)
        return Denoised(errors, (1,) * len(LEVELS), "epsilon")

    monkeypatch.setattr(tasks._engine(Path()), "denoise", denoise)
    return asked


def measure(version: Version) -> MeasuredLineage:
    assert services.begin(version=version) is not None
    worker_process.drain(QUEUE)
    return MeasuredLineage.objects.get(version=version)


def test_it_is_measured_once_with_everything_that_makes_it_repeatable(shown: Version) -> None:
    found = measure(shown)
    stored, recipe = found.document, found.document["recipe"]
    assert {one["base"]: one["lineage"] for one in stored["bases"]} == {
        "tiny": "Tiny", "other": "Other",
    }  # fmt: skip
    assert len({one["digest"] for one in stored["bases"]}) == 2
    assert (recipe["levels"], recipe["seeds"]) == (list(LEVELS), list(SEEDS))
    assert (recipe["width"], recipe["height"], recipe["strength"]) == (64, 64, 1.0)
    file = shown.primary_file
    assert file is not None
    assert recipe["weights"] == [file.sha256]
    assert len(recipe["pictures"]) == 3
    assert {one["prediction"] for one in stored["bases"]} == {"v_prediction"}
    assert (found.method, stored["left_out"]) == (METHOD, [])
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
    version: Version,
    show: Callable[..., Sample],
    two_bases: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
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
    monkeypatch.setattr(tasks, "_engine", lambda _file: Engine(load_bases(one)))
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


def figures(version: Version, lineage: str, *others: tuple[str, float, bool]) -> None:
    """Store a record with these figures of other bases: lineage, difference, is significant."""
    keys = ("lineage", "difference", "is_significant", "standard_error")
    rows = [(*row, 0.002) for row in (("Tiny", 0.0, False), *others)]
    recipe = {"pictures": [1, 2, 3], "levels": LEVELS, "seeds": SEEDS, "significance": 0.01}
    MeasuredLineage.objects.create(
        version=version,
        method=METHOD,
        lineage=lineage,
        document={
            "lineage": lineage or None,
            "bases": [dict(zip(keys, row, strict=True)) for row in rows],
            "left_out": [],
            "recipe": recipe,
        },
        inputs_digest="0" * 64,
        bases_digest="0" * 64,
    )


def evidence_of(base: dict[str, Any]) -> list[tuple[str, str]]:
    found = (one for one in base["lineage_evidence"] if one["rule"] == "denoising")
    return [(one["lineage"], one["stance"]) for one in found]


def test_what_is_identified_comes_before_estimates_and_changes_no_claim(shown: Version) -> None:
    before = document(shown)
    assert "measured_lineage" not in before
    figures(shown, "Tiny", ("Other", 0.031, True))
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
    figures(shown, "", ("Other", 0.001, False))
    base = document(shown)
    assert base["measured_lineage"]["lineage"] is None
    assert evidence_of(base) == []
    page = Client().get("/ada/noir").content.decode()
    assert "Measured: Cannot tell: the difference between Tiny and Other is not certain" in page


def test_the_sentence_names_the_base_that_leaves_it_open(shown: Version) -> None:
    figures(shown, "", ("Other", 0.03, True), ("Third", 0.05, False), ("Other", 0.06, True))
    base = document(shown)
    assert evidence_of(base) == [("Other", "against")]
    assert "between Tiny and Third is not certain" in base["measured_lineage"]["text"]


def test_nothing_is_said_against_a_lineage_with_a_base_that_is_as_good(shown: Version) -> None:
    figures(shown, "", ("Other", 0.03, True), ("Other", 0.05, False))
    assert evidence_of(document(shown)) == []


def test_it_goes_with_the_version(shown: Version) -> None:
    measure(shown)
    withdrawals.on_version_withdrawn(shown.pk)
    assert not MeasuredLineage.objects.exists()


def with_base(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Add a base to the file, with a lineage of its name, and open an engine with it."""
    table = file.read_text().partition("\n\n")[0].replace("tiny", name)
    file.write_text(file.read_text() + "\n" + table.replace("Tiny", name.title()) + "\n")
    engine = Engine(load_bases(file), keep=4)
    monkeypatch.setattr(tasks, "_engine", lambda _file: engine)
    return engine


@pytest.fixture
def flow(two_bases: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A base with another prediction, which cannot be measured."""
    folder = tiny_folder.with_name("flow")
    if not folder.exists():
        shutil.copytree(tiny_folder, folder)
        file = folder / "scheduler" / "scheduler_config.json"
        file.write_text(file.read_text().replace("v_prediction", "flow_prediction"))
    return with_base(two_bases, "flow", monkeypatch)


def test_a_base_that_cannot_be_measured_is_left_out(shown: Version, flow: Engine) -> None:
    del flow
    found = measure(shown).document
    assert {one["base"] for one in found["bases"]} == {"tiny", "other"}
    assert found["left_out"] == [{"base": "flow", "reason": "cannot_measure"}]


def test_too_few_bases_that_fit_are_remembered(
    shown: Version, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise CannotRender(Why.SHAPE, f"a module of {quick} has another size")

    during(monkeypatch, refuse)
    found = measure(shown).document
    assert (found["lineage"], found["bases"]) == (None, [])
    assert found["left_out"] == [{"base": "tiny", "reason": "cannot_render"}]
    assert "measured_lineage" not in document(shown)
    assert Client().get("/ada/noir").status_code == 200
    start()
    assert Job.objects.filter(task=services.MEASURE_TASK).count() == 1


def test_a_base_that_cannot_be_opened_now_is_tried_again(
    shown: Version, two_bases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_bases.with_name("broken")
    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text("{}")
    with_base(two_bases, "broken", monkeypatch)
    assert services.begin(version=shown) is not None
    worker_process.drain(QUEUE)
    job = Job.objects.get(task=services.MEASURE_TASK)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert not MeasuredLineage.objects.exists()


def test_it_gives_way_between_bases_and_goes_on_with_the_next(
    shown: Version, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: Any = {"queue": QUEUE, "task": "none", "args": {}, "key": "tryout"}
    during(monkeypatch, lambda: queue.enqueue(**wanted, priority=queue.INTERACTIVE))
    services.begin(version=shown)
    job = queue.claim(QUEUE)
    assert job is not None
    worker_process._run(job, (QUEUE,))
    assert quick == ["tiny"]
    job.refresh_from_db()
    assert (job.state, job.attempt, job.done, job.total) == (JobState.QUEUED, 0, 3, 6)
    Job.objects.filter(key="tryout").delete()
    worker_process.drain(QUEUE)
    assert quick == ["tiny", "other"]
    job.refresh_from_db()
    assert (job.state, job.done) == (JobState.DONE, 6)


def during(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have something happen once while the first base is measured."""
    engine, left = tasks._engine(Path()), [happens]
    real = engine.denoise

    def denoise(*given: Any) -> Any:
        while left:
            left.pop()()
        return real(*given)

    monkeypatch.setattr(engine, "denoise", denoise)


def test_a_strength_that_changes_meanwhile_is_measured(
    shown: Version, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, lambda: type(shown).objects.filter(pk=shown.pk).update(strength=0.5))
    assert measure(shown).document["recipe"]["strength"] == 0.5
    assert quick == ["tiny", "other"] * 2


def test_a_removed_picture_is_no_evidence(
    shown: Version, show: Callable[..., Sample], ada: User, quick: list[str]
) -> None:
    del quick
    more, unmeasured = show(shown, "white"), show(shown, "black", prompt="")
    first = measure(shown)
    samples.remove(actor=ada, sample=unmeasured)
    assert MeasuredLineage.objects.filter(pk=first.pk).exists()
    samples.remove(actor=ada, sample=more)
    assert not MeasuredLineage.objects.exists()
    worker_process.drain(QUEUE)
    assert len(MeasuredLineage.objects.get().document["recipe"]["pictures"]) == 3
    samples.remove(actor=ada, sample=selectors.pictures_of(shown)[0])
    worker_process.drain(QUEUE)
    assert not MeasuredLineage.objects.exists()


def test_a_picture_that_is_removed_meanwhile_is_no_evidence(
    shown: Version, ada: User, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = selectors.pictures_of(shown)[0]
    during(monkeypatch, lambda: samples.remove(actor=ada, sample=picture))
    services.begin(version=shown)
    worker_process.drain(QUEUE)
    assert quick == ["tiny", "other"]
    assert not MeasuredLineage.objects.exists()


def test_a_record_of_another_family_is_deleted(shown: Version, quick: list[str]) -> None:
    measure(shown)
    assert quick == ["tiny", "other"]
    services.on_version_published(shown.pk)
    assert MeasuredLineage.objects.exists()
    type(shown).objects.filter(pk=shown.pk).update(family="flux1")
    services.on_version_published(shown.pk)
    assert not MeasuredLineage.objects.exists()


def test_later_changes_of_the_bases_file_are_for_the_next_worker(
    shown: Version, two_bases: Path, quick: list[str]
) -> None:
    table = two_bases.read_text().partition("\n\n")[0].replace("Tiny", "Late")
    two_bases.write_text(f"{two_bases.read_text()}\n{table.replace('bases.tiny', 'bases.late')}\n")
    start()
    assert quick == ["tiny", "other"]
    assert len(MeasuredLineage.objects.get(version=shown).document["bases"]) == 2


def test_families_without_a_pipeline_are_not_measured(two_bases: Path) -> None:
    base = load_bases(two_bases).get("tiny")
    assert measuring.is_measurable(base)
    assert not measuring.is_measurable(dataclasses.replace(base, family="unknown"))
