"""Look reports: begun after previews, made once, measured, replaced, deleted with the version."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from django.test import Client
from transformers import ResNetConfig, ResNetModel

from previews import operator_actions, tasks, withdrawals
from previews.models import Control, Render, Report, ReportPicture, ReportState
from previews.packs import selectors as sheets
from previews.render import BaseUnavailable, EncoderUnavailable, load_bases
from previews.render.look.encoder import Encoder
from previews.render.look.measures import METHOD
from previews.render.look.recipes import Part, ReportRecipe, report_recipe
from previews.reports import selectors, services
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.jobs import queue, worker_process
from registry.models import Job, JobState, PackVersion
from registry.packs import publish as publish_pack
from registry.packs import services as packs
from registry.versions import withdraw
from registry.versions.details import Details

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

QUEUE = "render.miniature"


def write_encoder(folder: Path) -> Path:
    """A tiny encoder with random weights, in a stock architecture."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        ResNetModel(config).save_pretrained(folder)
    settings = {
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(autouse=True)
def _few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two prompts of each part: 16 + 8 pictures instead of 72."""
    table = {
        "version": 1, "seeds": [7, 21], "unrelated": ["a car", "a tree"],
        "style": {"look": ["a cat", "a house"]},
    }  # fmt: skip
    monkeypatch.setattr("previews.render.look.recipes.report_table", lambda _family: table)


@pytest.fixture
def measured(settings: Settings, bases_file: Path, tiny_encoder: Path) -> Path:
    """This hub has a base with an encoder."""
    file = bases_file.with_name("measured.toml")
    file.write_text(bases_file.read_text() + f'encoder = "{tiny_encoder}"\n')
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    return file


@pytest.fixture
def version(measured: Path, noir: Adapter, publish: Callable[..., Version]) -> Version:
    del measured
    return publish(noir)


@pytest.fixture
def reported(version: Version) -> Version:
    worker_process.drain(QUEUE)
    return version


def place(version: Version) -> str:
    return f"/api/v1/adapters/{version.adapter.full_name}/versions/{version.name}/report"


def test_a_report_follows_the_previews_and_has_figures_and_pictures(version: Version) -> None:
    assert not version.reports.exists()
    worker_process.drain(QUEUE)
    report = version.reports.get()
    assert (report.state, report.base, report.strength) == (ReportState.READY, "tiny", 1.0)
    assert report.pictures.count() == 2 * 2 * 2 * 3
    assert set(report.pictures.values_list("part", flat=True)) == {*Part}
    figures = report.figures
    assert {"effect", "consistency", "leak", "drift", "subject_kept", "method"} == {*figures}
    for name in selectors.FIGURES:
        assert 0 <= figures[name]["value"] <= 1
    look = report.pictures.filter(part=Part.LOOK)[0]
    assert look.prompt == "a cat, neon glow"
    assert report.pictures.filter(part=Part.PLAIN)[0].prompt == "a cat"
    job = Job.objects.get(task=services.REPORT_TASK)
    assert (job.priority, job.state) == (queue.BACKGROUND, JobState.DONE)


def test_the_api_tells_it(version: Version) -> None:
    client = Client()
    missing = client.get(place(version))
    assert missing.status_code == 404
    assert missing.json()["detail"] == "This version has no look report yet."
    assert missing.json()["adapter"] == "ada/noir"  # it is visible: signing in would not help
    services.begin(version=version)
    told = client.get(place(version)).json()
    assert (told["state"], told["figures"], told["pictures"]) == ("queued", None, [])
    assert told["progress"] == {"done": 0, "total": 24}
    worker_process.drain(QUEUE)
    told = client.get(place(version)).json()
    assert (told["state"], told["encoder"], told["recipe_version"]) == ("ready", "tiny", 1)
    assert told["figures"]["drift"]["value"] == version.reports.get().figures["drift"]["value"]
    assert told["range"]["ends"] == 1
    assert len(told["pictures"]) == told["progress"]["done"] == told["progress"]["total"] == 24
    picture = client.get(told["pictures"][0]["url"])
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/png")


def test_a_report_by_other_measures_is_made_again(reported: Version) -> None:
    old = reported.reports.get()
    Report.objects.update(figures={**old.figures, "method": METHOD - 1})
    assert services.begin_missing() == reported.pk
    assert services.begin_missing() == 0
    assert selectors.report_of(reported) == old
    worker_process.drain(QUEUE)
    new = reported.reports.get()
    assert (new.state, new.figures) == (ReportState.READY, old.figures)
    assert new != old


def test_begun_twice_it_is_made_once(reported: Version) -> None:
    first = reported.reports.get()
    assert services.begin(version=reported) == first
    services.begin_missing()
    tasks.queue_waiting()
    assert reported.reports.get() == first
    assert Job.objects.filter(task=services.REPORT_TASK).count() == 1


def test_a_killed_report_goes_on_where_it_was(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_process.drain(QUEUE)
    report, pictures = version.reports.get(), ReportPicture.objects
    figures, kept = report.figures, pictures.filter(strength=0)
    before = {row.pk for row in kept}
    pictures.exclude(strength=0).delete()
    Report.objects.update(state=ReportState.RUNNING, figures={})
    services.enqueue(report=report)
    worker_process.drain(QUEUE)
    report.refresh_from_db()
    assert (report.state, report.figures) == (ReportState.READY, figures)
    assert before <= {row.pk for row in pictures.all()}
    assert pictures.count() == 24
    del monkeypatch


def test_controls_are_shared_between_adapters(
    reported: Version, ada: User, publish: Callable[..., Version]
) -> None:
    before = Control.objects.count()
    second = publish(adapters.create(actor=ada, name="ink", kind="style"))
    worker_process.drain(QUEUE)
    assert second.reports.get().state == ReportState.READY
    assert Control.objects.count() == before
    del reported


def test_changed_words_or_strength_make_a_new_report_that_replaces_the_old(
    reported: Version, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    old = reported.reports.get()
    details = Details(declared_family="miniature", trigger_words=("ink",), strength=0.5)
    with django_capture_on_commit_callbacks(execute=True):
        cards.edit_version(actor=ada, version=reported, details=details)
    reported.refresh_from_db()
    assert {one.state for one in reported.reports.all()} == {"queued", "ready"}
    shown = selectors.report_of(reported)
    assert shown == old
    worker_process.drain(QUEUE)
    new = reported.reports.get()
    assert (new.trigger_words, new.strength) == (["ink"], 0.5)
    assert new.pk != old.pk
    assert new.recipe_digest == old.recipe_digest


def test_without_words_nothing_can_leak(
    measured: Path, noir: Adapter, publish: Callable[..., Version]
) -> None:
    version = publish(noir, words=())
    worker_process.drain(QUEUE)
    report = version.reports.get()
    assert report.figures["leak"] is None
    assert not report.pictures.filter(part=Part.PLAIN).exists()
    del measured


def test_a_base_without_an_encoder_makes_no_report(
    served: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    version = publish(noir)
    worker_process.drain(QUEUE)
    assert not version.reports.exists()
    assert services.begin(version=version) is None
    del served


def test_an_encoder_that_cannot_be_opened_is_the_reason(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: str) -> Encoder:
        msg = "The encoder “tiny” cannot be opened: no weights"
        raise EncoderUnavailable(msg)

    monkeypatch.setattr(tasks, "_encoder", refuse)
    worker_process.drain(QUEUE)
    report = version.reports.get()
    assert report.state == ReportState.FAILED
    assert "“tiny” cannot be opened" in report.reason
    assert Client().get(place(version)).json()["state"] == "failed"
    monkeypatch.undo()


def test_a_failed_report_can_be_retried_by_the_operator(
    version: Version, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: str) -> Encoder:
        msg = "no"
        raise EncoderUnavailable(msg)

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "_encoder", refuse)
        worker_process.drain(QUEUE)
    ada.is_staff = True
    ada.save()
    job = Job.objects.get(task=services.REPORT_TASK)
    operator_actions.retry(actor=ada, job_id=job.pk)
    assert version.reports.get().state == ReportState.QUEUED
    newest = Job.objects.filter(task=services.REPORT_TASK).latest("pk")
    operator_actions.cancel(actor=ada, job_id=newest.pk)
    report = version.reports.get()
    assert (report.state, report.reason) == (ReportState.FAILED, "Cancelled by an administrator.")


def test_a_report_whose_base_is_gone_is_begun_again_by_the_next_worker(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_folder: str) -> Encoder:
        msg = "gone"
        raise BaseUnavailable(msg)

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "_encoder", gone)
        worker_process.drain(QUEUE)
    assert not version.reports.exists()
    services.begin_missing()
    worker_process.drain(QUEUE)
    assert version.reports.get().state == ReportState.READY


def test_reports_are_deleted_with_their_version(
    reported: Version, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        withdraw.withdraw(actor=ada, version=reported, reason="Copied")
    assert not Report.objects.exists()
    assert not ReportPicture.objects.exists()
    assert Client().get(place(reported)).status_code == 404


def test_a_report_that_a_withdrawal_missed_is_swept(reported: Version, ada: User) -> None:
    withdraw.withdraw(actor=ada, version=reported, reason="Copied")  # nothing follows the commit
    assert Report.objects.exists()
    assert withdrawals.delete_missed() == 1
    assert not Report.objects.exists()


def stored(version: Version, values: dict[str, float], **more: Any) -> Report:
    recipe = {"version": 1}
    figures = {name: {"value": value, "error": 0.02} for name, value in values.items()}
    columns = {"recipe_digest": "b" * 64, "encoder_digest": "a" * 64, **more}
    return Report(
        version=version, state=ReportState.READY, base="tiny", recipe=recipe, strength=1.0,
        figures={**figures, "method": 1}, **columns,
    )  # fmt: skip


def test_versions_are_compared_by_each_figure_and_only_by_clear_differences(
    version: Version,
) -> None:
    one = stored(version, {"subject_kept": 0.9, "leak": 0.1, "drift": 0.2})
    other = stored(version, {"subject_kept": 0.7, "leak": 0.12, "drift": 0.05})
    found = {gap.figure: gap.better for gap in selectors.compare(one, other)}
    assert found == {"subject_kept": 0, "leak": None, "drift": 1}
    unsure = stored(version, {"subject_kept": 0.7})
    unsure.figures["subject_kept"]["error"] = 0.3
    assert [gap.better for gap in selectors.compare(one, unsure)] == [None]


@pytest.mark.parametrize(
    "more", [{"recipe_digest": "c" * 64}, {"encoder_digest": "c" * 64}, {"base": "other"}]
)
def test_reports_of_other_recipes_encoders_and_bases_are_not_compared(
    version: Version, more: dict[str, str]
) -> None:
    one, other = stored(version, {"leak": 0.1}), stored(version, {"leak": 0.9})
    for name, value in more.items():
        setattr(other, name, value)
    assert selectors.compare(one, other) == []


def test_the_recipe_survives_its_document_and_its_digest_has_no_strength(bases_file: Path) -> None:
    base = load_bases(bases_file).get("tiny")
    recipe = report_recipe(base, "style", strength=0.7)
    assert recipe is not None
    assert ReportRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.total == 24
    assert recipe.part_of(0) == Part.PLAIN
    assert recipe.part_of(2) == Part.UNRELATED
    same = report_recipe(base, "style", strength=1.2)
    assert same is not None
    assert same.digest == recipe.digest
    other = report_recipe(dataclasses.replace(base, steps=3), "style")
    assert other is not None
    assert other.digest != recipe.digest
    assert report_recipe(dataclasses.replace(base, frames=8, fps=8), "style") is None
    wordless = report_recipe(dataclasses.replace(base, trigger="none"), "style")
    assert wordless is not None
    assert wordless.plain == 0


# --- Cover sheets of packs -----------------------------------------------------------------------


@pytest.fixture
def sheet(version: Version, ada: User, django_capture_on_commit_callbacks: Any) -> Render:
    """The cover sheet of a pack, with its report."""
    part = {"adapter": version.adapter.full_name, "strength": 0.5, "role": "style"}
    clip = {"name": "small", "family": "miniature", "output": "image", "parts": [part]}
    pack = packs.create(actor=ada, name="dusk")
    with django_capture_on_commit_callbacks(execute=True):
        publish_pack.publish(
            actor=ada, pack=pack, manifest={"variants": [{**clip, "prompt": "{prompt}, neon glow"}]}
        )
    worker_process.drain(QUEUE)
    return Render.objects.get(kind="pack")


PACK_PLACE = "/api/v1/packs/ada/dusk/versions/v1/report"


def test_a_cover_sheet_is_measured_from_its_own_pictures(sheet: Render) -> None:
    report = sheet.report
    assert (report.state, report.version, report.pictures.count()) == ("ready", None, 0)
    figures = report.figures
    assert figures["leak"] is figures["drift"] is None
    assert 0 <= figures["consistency"]["value"] <= 1
    assert 0 <= figures["subject_kept"]["value"] <= 1
    job = Job.objects.get(task=services.REPORT_TASK, owner="ada", args={"report_id": report.pk})
    assert (job.priority, job.queue) == (queue.BACKGROUND, QUEUE)
    told = Client().get(PACK_PLACE).json()
    assert (told["variant"], told["state"], told["range"]) == ("small", "ready", None)
    assert told["figures"]["consistency"] == figures["consistency"]
    assert told["progress"] == {"done": 16, "total": 16}
    assert {one["strength"] for one in told["pictures"]} == {0.0, 1.0}
    assert Client().get(told["pictures"][0]["url"]).status_code == 200
    assert Client().get(f"{PACK_PLACE}?variant=other").status_code == 404


def test_a_report_of_a_sheet_is_made_once_and_again_by_other_measures(sheet: Render) -> None:
    before = sheet.report
    assert services.begin_of_sheet(sheet) == before
    services.begin_missing_of_sheets()
    assert Job.objects.filter(args={"report_id": before.pk}).count() == 1
    Report.objects.filter(pk=before.pk).update(figures={**before.figures, "method": METHOD - 1})
    services.begin_missing_of_sheets()
    worker_process.drain(QUEUE)
    before.refresh_from_db()
    assert (before.state, before.figures["method"]) == ("ready", METHOD)
    assert Report.objects.filter(version__isnull=False).count() == 1  # those of adapters stay
    again = Render.objects.get(pk=sheet.pk)
    again.pk, again.job = None, None
    again.save()
    before.pk, before.render = None, again
    before.save()
    version = PackVersion.objects.get()
    assert sheets.report_of(None, version) == before  # of the newest sheet


def test_sheets_that_cannot_be_measured_keep_no_others_from_it(
    sheet: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "AT_ONCE", 1)
    sheet.report.delete()
    images = list(sheet.images.all())
    newer = Render.objects.get(pk=sheet.pk)
    newer.pk, newer.job, newer.base = None, None, "removed"
    newer.save()
    images[0].pk, images[0].render = None, newer
    images[0].save()
    services.begin_missing_of_sheets()
    assert Report.objects.filter(render=sheet).exists()


def test_a_report_of_a_sheet_goes_with_its_pictures(
    sheet: Render, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        withdraw.withdraw(actor=ada, version=sheet.stack[0].version, reason="rights")
    assert not Report.objects.exists()
    services.begin_missing_of_sheets()
    assert not Report.objects.exists()


def test_a_sheet_whose_pictures_are_gone_is_not_measured(sheet: Render) -> None:
    report = sheet.report
    sheet.images.all().delete()
    Report.objects.filter(pk=report.pk).update(state=ReportState.QUEUED)
    services.enqueue(report=report)
    worker_process.drain(QUEUE)
    report.refresh_from_db()
    assert (report.state, report.reason) == ("failed", "There are no pictures to measure.")
