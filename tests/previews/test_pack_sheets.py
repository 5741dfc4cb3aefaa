"""Cover sheets of packs: begun, rendered, resumed, hidden, withdrawn."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from celery import current_app
from django.contrib.auth.models import AnonymousUser
from django.core.management import call_command
from django.db import IntegrityError

from previews import tasks, withdrawals
from previews.models import Image, Recipe, Render, RenderKind, Sheet
from previews.packs import rerender
from previews.packs import services as sheets
from previews.packs.selectors import covers_of, require_visible, sheets_of
from previews.renders import contact_sheets
from previews.renders import services as renders
from registry import sweep
from registry.adapters import services as adapters
from registry.errors import Forbidden, Invalid, NotFound
from registry.jobs import queue, worker_process
from registry.models import Adapter, Job, JobState, Maturity, Pack, PackVersion, Version
from registry.packs import publish as packs
from registry.packs import services, states
from registry.versions import services as versions
from registry.versions import withdraw
from tests.previews import moving
from tests.previews.test_sheets import kept, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import User

    Publish = Callable[..., PackVersion]

pytestmark = pytest.mark.django_db

STRANGER = AnonymousUser()


def variant(name: str = "small", output: str = "image", **more: Any) -> dict[str, Any]:
    part = {"adapter": "ada/noir", "strength": 0.5, "role": "style"}
    return {
        "name": name, "family": "miniature", "output": output, "parts": [part],
        "prompt": "{prompt}, neon glow", **more,
    }  # fmt: skip


@pytest.fixture
def pack(ada: User, django_capture_on_commit_callbacks: Any) -> Publish:
    """Publish a version of ``ada/dusk``; what follows a commit happens."""

    def pack(*variants: dict[str, Any], is_followed: bool = True, **card: Any) -> PackVersion:
        found = ada.namespace.packs.filter(name="dusk").first()
        found = found or services.create(actor=ada, name="dusk", title="Dusk", **card)
        manifest = {"variants": list(variants or [variant()])}
        with django_capture_on_commit_callbacks(execute=is_followed):
            return packs.publish(actor=ada, pack=found, manifest=manifest)

    return pack


@pytest.fixture
def version(rendered: Version, pack: Publish) -> PackVersion:
    """A version of a pack whose sheet is queued."""
    return pack()


@pytest.fixture
def films(settings: Settings, tmp_path: Path, tiny_folder: Path) -> None:
    """This hub has a base for pictures and one for videos."""
    moving.write_motion(tmp_path / "motion", tiny_folder)
    file = tmp_path / "bases.toml"
    moving.write_bases(file, tiny_folder)
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    tasks._engine.cache_clear()


def drained(*queues: str) -> None:
    worker_process.drain(*(queues or ("render.miniature",)))


def sheet_of(version: PackVersion, viewer: Any = STRANGER) -> Any:
    return sheets_of(viewer, version, Maturity.GENERAL)["small"]


# --- Begun and rendered --------------------------------------------------------------------------


def test_a_published_version_gets_its_sheet(version: PackVersion) -> None:
    render = version.renders.get()
    assert (render.kind, render.variant, render.base, render.state) == (
        "pack", "small", "tiny", "queued",
    )  # fmt: skip
    job = Job.objects.get(renders=render)
    assert (job.priority, job.owner, job.queue) == (queue.BATCH, "ada", "render.miniature")
    drained()
    found = sheet_of(version)
    assert (found.state, len(found.images)) == ("ready", 16)
    assert len({one.prompt_index for one in found.images}) == 8
    assert {one.seed for one in found.images} == {7}
    pair = [one for one in found.images if one.prompt_index == 0]
    assert [(one.strength, one.prompt) for one in pair] == [
        (0.0, "a woman with brown hair and a green shirt on a yellow background"),
        (1.0, "a woman with brown hair and a green shirt on a yellow background, neon glow"),
    ]


def test_the_sheet_is_one_picture_without_and_with_the_pack(version: PackVersion) -> None:
    drained()
    contact = contact_sheets.contact_of(version.renders.get())
    assert contact.title == "Dusk v1"
    assert "packs/ada/dusk@v1" in " ".join(contact.facts)
    assert contact.labels == {0.0: "without the pack", 1.0: "with the pack"}
    assert (contact.columns, len(contact.scenes)) == (4, 8)
    drained("checks")
    sheet = Sheet.objects.get(render=version.renders.get())
    picture = opened(kept(sheet.render)["png"])
    assert (sheet.width, sheet.height) == picture.size
    assert picture.width > 2 * picture.height  # two rows
    assert sheet_of(version).sheets == {"png": f"/media/sheets/{sheet.render_id}.png"}


def test_the_sheet_has_the_strengths_of_the_parts(version: PackVersion) -> None:
    [layer] = version.renders.get().stack
    assert (layer.version, layer.strength) == (Version.objects.get(), 0.5)
    assert layer.file == layer.version.primary_file


def test_packs_share_their_pictures_without_the_pack(version: PackVersion, pack: Publish) -> None:
    drained()
    second = pack(variant(prompt="{prompt} at dusk, neon glow"))
    drained()
    first, other = (
        list(Image.objects.filter(render__pack_version=one, strength=0).values_list("blob"))
        for one in (version, second)
    )
    assert first == other


def test_places_are_the_subjects_of_a_character(rendered: Version, pack: Publish) -> None:
    pack(variant(prompt="a zorbi {prompt}"), kind="character")
    recipe = Recipe.objects.get(renders__kind="pack")
    assert recipe.document["prompts"][0] == "a zorbi in a meadow by day"


def test_each_variant_has_a_sheet_and_videos_come_later(
    films: None, ada: User, publish: Callable[..., Version], pack: Publish
) -> None:
    publish(adapters.create(actor=ada, name="noir", kind="style"))
    version = pack(variant(), variant("clip", "video", prompt="{prompt} moving"))
    found = {one.variant: one for one in version.renders.all()}
    assert (found["small"].base, found["clip"].base) == ("tiny", "tiny-motion")
    assert Job.objects.get(renders=found["clip"]).priority == queue.RENEWAL
    drained()
    shown = sheets_of(STRANGER, version, Maturity.GENERAL)
    assert shown["clip"].state == "ready"
    assert all(one.is_film for one in shown["clip"].images)
    assert (len(shown["clip"].images), len(shown["small"].images)) == (4, 16)
    cover = covers_of(STRANGER, [version.pack])[version.pack_id]
    assert (cover.is_film, cover.strength) == (False, 1.0)
    drained("checks")
    assert Sheet.objects.filter(render__pack_version=version).count() == 2


def test_two_processes_begin_one_sheet(version: PackVersion) -> None:
    assert sheets.begin(version=version) == []
    with pytest.raises(IntegrityError):
        Render.objects.create(kind=RenderKind.PACK, pack_version=version, variant="small",
                              state="waiting", reason="?")  # fmt: skip


@pytest.mark.parametrize(
    "columns", [{"variant": "small"}, {"kind": "pack"}, {"kind": "pack", "variant": ""}]
)
def test_the_database_knows_what_a_render_is_of(
    version: PackVersion, columns: dict[str, Any]
) -> None:
    version.renders.all().delete()
    needed = {"state": "failed", "reason": "?"}
    is_pack = columns.get("kind") == "pack"
    with pytest.raises(IntegrityError):
        Render.objects.create(
            **needed,
            **columns,
            pack_version=version if "variant" in columns or not is_pack else None,
        )


# --- Begun later ---------------------------------------------------------------------------------


def test_without_a_base_nothing_is_begun_until_a_worker_starts(
    unserved: None, settings: Settings, bases_file: Path, ada: User, pack: Publish,
    publish: Callable[..., Version],
) -> None:  # fmt: skip
    publish(adapters.create(actor=ada, name="noir", kind="style"))
    version = pack()
    assert not version.renders.exists()
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)
    tasks.queue_waiting()
    drained(*current_app.amqp.queues.consume_from)  # the jobs that begin what is missing
    drained()
    assert sheet_of(version).state == "ready"


def test_a_sheet_that_was_never_begun_is_begun_at_the_next_start(
    rendered: Version, pack: Publish
) -> None:
    version = pack(is_followed=False)
    assert not version.renders.exists()
    assert sheets.begin_missing() == version.variants.get().pk
    assert version.renders.get().state == "queued"
    assert sheets.begin_missing() == 0


def test_a_sheet_that_waits_goes_on_with_the_pictures_it_has(version: PackVersion) -> None:
    render = version.renders.get()
    drained()
    Image.objects.filter(render=render, strength=1).delete()
    Render.objects.update(state="queued")
    renders.wait(render=render)
    sheets.begin_missing()
    render.refresh_from_db()
    assert (render.state, render.images.count()) == ("queued", 8)
    drained()
    assert sheet_of(version).state == "ready"
    assert render.images.count() == 16


def test_a_sheet_goes_on_after_a_kill(version: PackVersion, monkeypatch: Any) -> None:
    keep, rounds = renders.keep_pictures, []

    def killed(**kwargs: Any) -> None:
        keep(**kwargs)
        rounds.append(len(kwargs["pictures"]))
        if len(rounds) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(renders, "keep_pictures", killed)
    job = queue.claim(Job.objects.get(task="render_literally").queue)
    assert job is not None
    with pytest.raises(KeyboardInterrupt):
        tasks.render_version(queue.JobRun(job))
    assert (version.renders.get().state, version.renders.get().images.count()) == ("running", 8)
    tasks.render_version(queue.JobRun(job))
    assert rounds == [8, 8]
    assert (version.renders.get().state, version.renders.get().images.count()) == ("ready", 16)


def test_a_failed_sheet_is_not_begun_again(version: PackVersion) -> None:
    renders.fail(render=version.renders.get(), reason="broken")
    assert sheets.begin_missing() == 0


def test_a_template_too_long_for_the_subjects_fails_with_the_reason(
    rendered: Version, pack: Publish, ada: User
) -> None:
    version = pack(variant(prompt="{prompt} " + "neon " * 397))
    render = version.renders.get()
    assert (render.state, render.recipe) == ("failed", None)
    assert "too long for the subjects" in sheet_of(version).reason
    assert (sheets.begin_missing(), sheets.begin(version=version)) == (0, [])
    with pytest.raises(Invalid, match="too long for the subjects"):
        sheets.request(actor=ada, version=version, variant="small")
    assert version.renders.count() == 1


# --- Rendered again ------------------------------------------------------------------------------


def test_a_failed_sheet_is_rendered_again_for_its_owner(
    version: PackVersion, ada: User, bob: User
) -> None:
    failed = version.renders.get()
    renders.cancel(render=failed, reason="broken")
    with pytest.raises(Forbidden):
        sheets.request(actor=bob, version=version, variant="small")
    with pytest.raises(NotFound):
        sheets.request(actor=ada, version=version, variant="other")
    again = sheets.request(actor=ada, version=version, variant="small")
    assert again != failed
    assert Job.objects.get(renders=again).priority == queue.ASKED
    assert sheets.request(actor=ada, version=version, variant="small") == again
    Job.objects.filter(renders=again).update(state=JobState.CANCELLED)
    assert sheets.request(actor=ada, version=version, variant="small") != again
    drained()
    assert sheet_of(version).state == "ready"


def test_a_sheet_that_could_not_be_drawn_is_drawn_again(
    version: PackVersion, ada: User, monkeypatch: Any
) -> None:
    drained()
    render = version.renders.get()
    with monkeypatch.context() as broken:
        broken.setattr(contact_sheets, "png", lambda *_: 1 / 0)
        Job.objects.filter(task="sheet").update(max_attempts=1)
        drained("checks")
    assert contact_sheets.jobs_of([render.pk])[render.pk].state == JobState.FAILED
    assert sheets.request(actor=ada, version=version, variant="small") == render
    drained("checks")
    assert render.sheets.exists()
    assert contact_sheets.jobs_of([render.pk])[render.pk].state == JobState.DONE


def test_an_outdated_sheet_is_rendered_again_and_shown_until_then(
    version: PackVersion, ada: User
) -> None:
    assert rerender.run().begun == []  # it is being rendered
    drained()
    assert rerender.run().begun == []
    before = version.renders.get()
    assert before.recipe is not None
    document = {**before.recipe.document, "edition": 0}
    Render.objects.update(recipe=Recipe.objects.create(digest="a" * 64, document=document))
    out = StringIO()
    call_command("rerender", "--json", "--pack", "ada/dusk", "--dry-run", stdout=out)
    [found] = json.loads(out.getvalue())["rendered_again"]
    assert (found["pack"], found["variant"], found["pictures"]) == ("ada/dusk", "small", 16)
    assert "edition: 0 → 1" in found["changes"]
    assert version.renders.get() == before
    assert len(rerender.run(pack=version.pack, family="miniature").begun) == 1
    assert rerender.run().begun == []
    assert rerender.run(family="sdxl").looked_at == 0
    sweep.run()  # keeps what is shown until then
    shown = sheet_of(version)
    assert (shown.state, shown.is_renewal, shown.shown_id) == ("queued", True, before.pk)
    assert len(shown.images) == 16
    drained()
    assert sheet_of(version).shown_id != before.pk
    assert covers_of(ada, [version.pack])[version.pack_id].id in [
        one.id for one in sheet_of(version).images
    ]
    assert Image.objects.filter(render=before).exists()
    sweep.run()
    assert list(version.renders.all()) == [Render.objects.get(pk=sheet_of(version).shown_id)]
    assert not Image.objects.filter(render=before.pk).exists()


# --- What viewers may not see --------------------------------------------------------------------


def test_a_sheet_is_hidden_with_its_pack_and_with_its_parts(
    version: PackVersion, ada: User, bob: User
) -> None:
    drained()
    [cover] = covers_of(STRANGER, [version.pack]).values()
    render = version.renders.get()
    assert require_visible(STRANGER, render.pk)
    adapter = Version.objects.get().adapter
    for row in (version.pack, adapter):
        type(row).objects.filter(pk=row.pk).update(visibility="private")
        assert covers_of(bob, [version.pack]) == {}
        assert sheets_of(bob, version, Maturity.GENERAL) == {}
        with pytest.raises(NotFound):
            require_visible(bob, render.pk)
        assert not require_visible(ada, render.pk)
        assert covers_of(ada, [version.pack])[version.pack_id].id == cover.id
        type(row).objects.filter(pk=row.pk).update(visibility="public")
    type(adapter).objects.filter(pk=adapter.pk).update(blocked_reason="rights")
    assert covers_of(STRANGER, [version.pack]) == {}


@pytest.mark.parametrize("unlisted", [Pack, Adapter])
def test_a_sheet_is_not_public_if_the_pack_or_a_part_is_not(
    version: PackVersion, unlisted: type[Pack | Adapter]
) -> None:
    unlisted.objects.update(visibility="unlisted")
    assert not require_visible(STRANGER, version.renders.get().pk)


def test_a_part_that_is_blocked_or_withdrawn_is_not_rendered(
    rendered: Version, pack: Publish, ada: User
) -> None:
    version = pack(is_followed=False)
    type(rendered.adapter).objects.update(blocked_reason="rights")
    assert sheets.begin(version=version) == []
    type(rendered.adapter).objects.update(blocked_reason="")
    withdraw.withdraw(actor=ada, version=rendered, reason="rights")
    assert sheets.begin(version=version) == []


def test_a_yanked_part_is_rendered_and_shown(version: PackVersion, ada: User) -> None:
    versions.yank(actor=ada, version=Version.objects.get(), reason="old")
    drained()
    assert len(sheet_of(version).images) == 16


def test_a_sheet_goes_with_a_withdrawn_part(
    version: PackVersion, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    drained()
    drained("checks")
    with django_capture_on_commit_callbacks(execute=True):
        withdraw.withdraw(actor=ada, version=Version.objects.get(), reason="rights")
    render = version.renders.get()
    assert not render.images.exists()
    assert not render.sheets.exists()
    assert covers_of(ada, [version.pack]) == {}
    assert sheets.begin_missing() == 0


def test_a_sheet_goes_with_a_withdrawn_version_of_the_pack(
    version: PackVersion, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        states.withdraw(actor=ada, version=version, reason="rights")
    render = version.renders.get()
    assert (render.state, render.reason) == ("failed", "This version was withdrawn.")
    assert Job.objects.get(task="render_literally").state == JobState.CANCELLED


def test_the_sweeper_deletes_what_a_withdrawal_missed(version: PackVersion, ada: User) -> None:
    drained()
    drained("checks")
    states.withdraw(actor=ada, version=version, reason="rights")  # its signal is not sent
    assert version.renders.get().images.exists()
    assert withdrawals.delete_missed() == 1
    assert not Image.objects.filter(render__pack_version=version).exists()
    assert not Sheet.objects.filter(render__pack_version=version).exists()
    assert withdrawals.delete_missed() == 0
    sweep.run()


def test_a_job_of_a_withdrawn_version_fails(version: PackVersion, ada: User) -> None:
    states.withdraw(actor=ada, version=version, reason="rights")
    drained()
    assert (version.renders.get().state, Image.objects.filter(render__kind="pack").count()) == (
        "failed", 0,
    )  # fmt: skip


# --- Covers --------------------------------------------------------------------------------------


def test_the_cover_is_the_first_subject_with_the_pack(version: PackVersion) -> None:
    assert covers_of(STRANGER, [version.pack]) == {}
    assert covers_of(STRANGER, []) == {}
    drained()
    [cover] = covers_of(STRANGER, [version.pack]).values()
    assert (cover.prompt_index, cover.strength) == (0, 1.0)


def test_the_cover_stays_until_the_new_version_has_one(
    version: PackVersion, pack: Publish, ada: User
) -> None:
    drained()
    [before] = covers_of(STRANGER, [version.pack]).values()
    second = pack(variant(prompt="{prompt} at dusk, neon glow"))
    assert covers_of(STRANGER, [version.pack])[version.pack_id].id == before.id
    drained()
    [after] = covers_of(STRANGER, [version.pack]).values()
    assert "at dusk" in after.prompt
    states.yank(actor=ada, version=second, reason="too dark")
    assert covers_of(STRANGER, [version.pack])[version.pack_id].id == before.id


def test_pictures_have_the_rating_of_the_pack(version: PackVersion) -> None:
    drained()
    found = sheets_of(STRANGER, version, Maturity.MATURE)["small"]
    assert {one.maturity for one in found.images} == {"mature"}
