"""Smaller forms of rendered pictures, from the worker to the sweeper."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from previews import tasks
from previews.models import Control, Derivative, Image
from previews.pictures import derivatives
from previews.pictures.selectors import pictures_of
from previews.renders.selectors import previews_of
from registry import storage, sweep
from registry.jobs import worker_process
from registry.models import Blob, Job
from tests.stored import blob_of, put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(rendered: Version) -> Version:
    return rendered


def derive_all() -> None:
    worker_process.drain("checks")


def forms() -> list[tuple[int, str, int, int, str]]:
    rows = Derivative.objects.order_by("source_id", "kind", "width")
    return list(rows.values_list("source_id", "kind", "width", "height", "blob__sha256"))


def test_the_checks_worker_makes_them_after_the_pictures(version: Version) -> None:
    assert not forms()
    derive_all()
    images = Image.objects.filter(render__version=version)
    assert {image.placeholder[:23] for image in images} == {"data:image/webp;base64,"}
    for image in images:
        [form] = image.blob.derivatives.select_related("blob")
        assert (form.width, form.height) == (image.width, image.height) == (64, 64)
        assert form.blob.size_bytes < image.blob.size_bytes
        with storage.store().open(form.blob.sha256) as stream:
            assert len(stream.read()) == form.blob.size_bytes
    assert not Job.objects.filter(task="derive").exclude(state="done").exists()


def test_checks_of_uploads_come_first(version: Version) -> None:
    assert set(Job.objects.filter(task="derive").values_list("queue", flat=True)) == {"checks"}
    priorities = Job.objects.filter(task="derive").values_list("priority", flat=True)
    assert max(priorities) < 0


def test_a_second_run_changes_nothing(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    derive_all()
    before = forms(), list(Image.objects.values_list("placeholder", flat=True))
    Image.objects.update(placeholder="")
    derivatives.begin_missing()
    derive_all()
    assert (forms(), list(Image.objects.values_list("placeholder", flat=True))) == before

    def refuse(**_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(derivatives, "make", refuse)
    for image in Image.objects.select_related("blob"):
        derivatives.derive(image=image)


def test_made_anew_they_are_the_same_bytes(version: Version) -> None:
    derive_all()
    before = forms()
    Derivative.objects.all().delete()
    Image.objects.update(placeholder="")
    derivatives.begin_missing()
    derive_all()
    assert forms() == before


def test_the_same_bytes_are_read_once(version: Version) -> None:
    derive_all()
    image = Image.objects.first()
    assert image is not None
    twin = Image.objects.get(pk=image.pk)
    twin.pk, twin.placeholder, twin.position, twin.strength = None, "", 99, 1.5
    twin.save(force_insert=True)
    storage.store().delete(twin.blob.sha256)
    derivatives.derive(image=twin)
    twin.refresh_from_db()
    assert twin.placeholder == image.placeholder


def test_a_starting_worker_looks_for_a_bounded_number(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    Job.objects.filter(task="derive").delete()
    assert len(derivatives.missing()) == 20
    assert derivatives.missing(3) == sorted(derivatives.missing(), reverse=True)[:3]
    tasks.queue_waiting()
    queued = [job.args["image_ids"] for job in Job.objects.filter(task="derive")]
    assert sorted(chain.from_iterable(queued)) == sorted(derivatives.missing())
    assert max(len(ids) for ids in queued) <= derivatives.BATCH
    derive_all()
    assert derivatives.missing() == []


def test_pictures_that_cannot_be_read_stay_as_they_are(version: Version) -> None:
    broken, away, *_rest = Image.objects.select_related("blob")
    written = put_bytes([b"<svg/>"])
    for image, digest in ((broken, written.sha256), (away, f"{away.pk:064x}")):
        image.blob = Blob.objects.create(sha256=digest, size_bytes=6)
        image.save()
    derive_all()
    assert set(derivatives.missing()) == {broken.pk, away.pk}
    assert not Job.objects.filter(task="derive").exclude(state="done").exists()


def test_they_let_the_sweeper_have_their_pictures(
    version: Version, own_settings: Callable[..., None]
) -> None:
    """Source first, its forms once the source is gone."""
    derive_all()
    own_settings(grace_days=0)
    made = set(Derivative.objects.values_list("blob_id", flat=True))
    version.renders.all().delete()
    Control.objects.all().delete()
    sweep.run()
    assert derivatives.delete_orphans() == 0  # marked, and not yet gone
    sweep.run()
    assert derivatives.delete_orphans() > 0
    assert not forms()
    sweep.run()
    sweep.run()
    assert not Blob.objects.filter(pk__in=made, is_stored=True).exists()


def test_a_sweep_lets_go_of_forms_whose_picture_went_with_the_one_before(
    version: Version, own_settings: Callable[..., None]
) -> None:
    derive_all()
    own_settings(grace_days=0)
    version.renders.all().delete()
    Control.objects.all().delete()
    for _ in range(3):  # marked, gone, and its forms after it
        assert forms()
        sweep.run()
    assert not forms()


def test_pictures_come_with_their_forms_in_one_query(
    version: Version, django_assert_num_queries: Any
) -> None:
    derive_all()
    image = Image.objects.order_by("position").first()
    assert image is not None
    blob = blob_of(b"wide")
    Derivative.objects.create(source=image.blob, kind="webp", width=512, height=512, blob=blob)
    Derivative.objects.create(source=image.blob, kind="avif", width=256, height=256, blob=blob)
    with django_assert_num_queries(1):
        found = pictures_of(Image.objects.filter(render__version=version))
    assert [one.id for one in found] == [one.id for one in previews_of(version).images]
    assert len({one.id for one in found}) == len(found) == 20
    order = [(one.kind, one.width) for one in found[0].sources]
    assert order == sorted(order)
    assert len(order) == 3
    last = found[0].sources[-1]
    assert last.type == "image/webp"
    assert last.url == f"/media/images/{image.pk}/{blob.sha256[:12]}-512.webp"
    assert found[1].placeholder == Image.objects.get(pk=found[1].id).placeholder


def test_a_form_is_there_once_and_has_a_size(version: Version) -> None:
    derive_all()
    form = Derivative.objects.first()
    assert form is not None
    for change in ({}, {"width": 7, "height": 0}):
        row = Derivative(
            source_id=form.source_id, kind=form.kind, width=form.width, height=1, blob=form.blob
        )
        for name, value in change.items():
            setattr(row, name, value)
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save(force_insert=True)


def test_the_command_says_what_is_missing_and_makes_it(
    version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*options: str) -> dict[str, int]:
        call_command("derive", "--json", *options)
        said: dict[str, int] = json.loads(capsys.readouterr().out)
        return said

    assert run("--dry-run") == {"pictures": 20, "sheets": 1, "dropped": 0, "left": 20}
    assert not forms()
    assert run() == {"pictures": 20, "sheets": 1, "dropped": 0, "left": 0}
    assert forms()
    assert run() == {"pictures": 0, "sheets": 0, "dropped": 0, "left": 0}
    call_command("derive")
    assert "0 pictures" in capsys.readouterr().out
