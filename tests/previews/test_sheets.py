"""Contact sheets: every picture in its place, with words that fit."""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from PIL import Image as Pillow

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from previews import tasks
from previews.derived import contact_sheet_drawing
from previews.derived.contact_sheet_drawing import Contact, Scene, Strip, png
from previews.derived.text_layout import Fonts, fitted, lines
from previews.fonts import fonts
from previews.models import Image, Render, Sheet
from previews.renders import contact_sheets
from previews.renders.selectors import previews_of
from registry import storage, sweep
from registry.jobs import queue, worker_process
from registry.models import Blob, Job
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Version

STRENGTHS = (-1.0, 0.0, 1.0)
COLOURS = {-1.0: "#ff0000", 0.0: "#00ff00", 1.0: "#0000ff"}


def contact(seeds: int = 2, prompt: str = "a cat", size: tuple[int, int] = (64, 64)) -> Contact:
    cells = {strength: Pillow.new("RGB", size, colour) for strength, colour in COLOURS.items()}
    strips = tuple(Strip(seed, cells) for seed in range(seeds))
    return Contact("Noir v1", ("ada/noir@v1",), (Scene(prompt, strips),), STRENGTHS)


def opened(data: bytes) -> Pillow.Image:
    with Pillow.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")


def across(picture: Pillow.Image) -> list[str]:
    """The pure colours of a sheet from left to right, in its middle strip."""
    row = [picture.getpixel((x, picture.height - 200)) for x in range(picture.width)]
    named = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}
    seen = [named[pixel] for pixel in row if isinstance(pixel, tuple) and pixel in named]
    return list(dict.fromkeys(seen))


def test_columns_are_strengths_in_order() -> None:
    assert across(opened(png(contact(), fonts()))) == ["red", "green", "blue"]


def test_a_picture_that_is_missing_leaves_its_place() -> None:
    gap = contact()
    for strip in gap.scenes[0].strips:
        strip.cells.pop(0.0, None)
    assert across(opened(png(gap, fonts()))) == ["red", "blue"]


@pytest.mark.parametrize("own", [fonts(), Fonts()], ids=["site", "pillow"])
def test_the_same_sheet_is_the_same_bytes(own: Fonts) -> None:
    assert png(contact(), own) == png(contact(), own)


def test_a_sheet_ends_however_many_rows_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet_drawing, "MAX_STRIPS", 3)
    more, most = (opened(png(contact(seeds=n), fonts())) for n in (4, 3))
    assert more.size == most.size


@pytest.mark.parametrize("prompt", ["", "x" * 2000, "word " * 400, "\n\t\x00猫 🐈 e\u0301"])
@pytest.mark.parametrize("size", [(64, 64), (200, 10), (10, 200)])
def test_odd_prompts_and_shapes_are_drawn(prompt: str, size: tuple[int, int]) -> None:
    picture = opened(png(contact(1, prompt, size), fonts()))
    assert picture.width <= 4096
    assert across(picture) == ["red", "green", "blue"] or size == (200, 10)


def test_the_faces_of_the_site_are_found() -> None:
    assert fonts().serif_at(20).getname() == ("Lorary Serif", "Regular")
    assert fonts().sans_at(20).getname() == ("Inter", "Regular")
    assert Fonts().sans_at(20).getlength("word") > 0


@pytest.mark.parametrize("text", ["short", "one two three four five", "x" * 3000, " ", "a\nb"])
def test_words_never_leave_their_room(text: str) -> None:
    font = fonts().sans_at(20)
    for most in (1, 3):
        said = lines(text, font, 120, most)
        assert len(said) <= most
        assert all(font.getlength(line) <= 120 for line in said)
    assert "\n" not in fitted(text, font, 120)


def test_what_is_cut_says_so() -> None:
    font = fonts().sans_at(20)
    assert fitted("one two three four five", font, 120).endswith("…")
    assert fitted("short", font, 120) == "short"
    assert lines("one two", font, 400, 2) == ["one two"]


# --- From the queue to the store ----------------------------------------------------------------


@pytest.fixture
def version(rendered: Version) -> Version:
    return rendered


def kept(render: Render) -> dict[str, bytes]:
    found = {}
    for row in render.sheets.select_related("blob"):
        with storage.store().open(row.blob.sha256) as stream:
            found[row.kind] = stream.read()
    return found


@pytest.mark.django_db
def test_a_finished_render_gets_its_sheet_once(version: Version) -> None:
    render = version.renders.get()
    assert not kept(render)
    worker_process.drain("checks")
    first = kept(render)
    assert set(first) == {"png"}
    assert opened(first["png"]).width > 1000
    contact_sheets.make(render=render)
    assert Sheet.objects.count() == 1
    render.sheets.all().delete()
    contact_sheets.make(render=render)
    assert kept(render) == first


@pytest.mark.django_db
def test_a_sheet_says_how_its_pictures_were_made(version: Version) -> None:
    contact = contact_sheets.contact_of(version.renders.get())
    assert contact.title == "Noir v1"
    said = " ".join(contact.facts)
    for word in ("ada/noir@v1", "Miniature", "2 steps", "guidance 2.5", "64 × 64", "recipe "):
        assert word in said
    assert list(contact.strengths) == [0, 0.25, 0.5, 0.75, 1]
    assert [len(scene.strips) for scene in contact.scenes] == [2, 1, 1, 1, 1, 1]
    assert all(len(strip.cells) == 5 for strip in contact.scenes[0].strips)
    assert {strip.strengths for scene in contact.scenes[1:] for strip in scene.strips} == {(0, 1)}


@pytest.mark.django_db
def test_a_starting_worker_finds_renders_without_sheets(version: Version) -> None:
    Job.objects.filter(task="sheet").delete()
    assert list(contact_sheets.missing()) == [version.renders.get()]
    tasks.queue_waiting()
    worker_process.drain("checks")
    assert set(kept(version.renders.get())) == {"png"}
    assert not contact_sheets.missing().exists()


@pytest.mark.django_db
def test_pictures_that_are_away_leave_their_places_blank(version: Version) -> None:
    image = Image.objects.latest("position")
    storage.store().delete(image.blob.sha256)
    worker_process.drain("checks")
    assert set(kept(version.renders.get())) == {"png"}


@pytest.mark.django_db
def test_a_render_without_pictures_and_an_open_one_have_no_sheet(version: Version) -> None:
    render = version.renders.get()
    Render.objects.update(state="running")
    worker_process.drain("checks")
    assert not kept(render)
    Render.objects.update(state="ready")
    Image.objects.all().delete()
    queue.handler_of("sheet").run(queue.JobRun(Job(args={"render_id": render.pk})))
    assert not kept(render)


@pytest.mark.django_db
def test_sheets_go_with_their_render(version: Version) -> None:
    worker_process.drain("checks")
    blobs = list(Sheet.objects.values_list("blob_id", flat=True))
    version.renders.all().delete()
    assert not Sheet.objects.exists()
    assert not Blob.objects.filter(pk__in=blobs, preview_sheets__isnull=False).exists()


# --- Sheets of an older hub, which were PDFs as well ---------------------------------------------


@pytest.fixture
def pdf(version: Version) -> Sheet:
    """A PDF that an older hub stored, and no PNG beside it."""
    Job.objects.filter(task="sheet").delete()
    blob = blob_of(b"%PDF-1.4")
    return Sheet.objects.create(render=version.renders.get(), kind="pdf", blob=blob)


@pytest.mark.django_db
def test_a_render_with_only_a_pdf_gets_its_png(version: Version, pdf: Sheet) -> None:
    assert list(contact_sheets.missing()) == [pdf.render]
    assert previews_of(version).sheets == {}
    contact_sheets.make(render=pdf.render)
    assert set(kept(pdf.render)) == {"pdf", "png"}
    assert not contact_sheets.missing().exists()
    assert previews_of(version).sheets == {"png": f"/media/sheets/{pdf.render_id}.png"}


@pytest.mark.django_db
def test_the_migration_leaves_pdfs_to_the_sweeper(
    version: Version, pdf: Sheet, own_settings: Callable[..., None]
) -> None:
    own_settings(grace_days=0)
    contact_sheets.make(render=pdf.render)
    import_module("previews.migrations.0006_sheets_without_pdf").forget_pdfs(apps, None)
    assert set(kept(pdf.render)) == {"png"}
    sweep.run()  # marks the bytes
    sweep.run()  # deletes them
    assert not Blob.objects.filter(pk=pdf.blob_id, is_stored=True).exists()
    with pytest.raises(FileNotFoundError):
        storage.store().open(pdf.blob.sha256)
    assert set(kept(pdf.render)) == {"png"}
