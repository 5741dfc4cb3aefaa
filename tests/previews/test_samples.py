"""Pictures that people bring, from the upload to what is shown or refused."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.utils import timezone

import previews.tasks
import registry.tasks  # noqa: F401 - registers the handlers of jobs
from lorary.pictures.claims.facts import MAX_HASHES, MAX_RESOURCES
from previews import operator_actions
from previews.models import Sample, SampleKind, SampleState
from previews.sample_files import sandbox
from previews.sample_files.formats import Interrupted, Refused, Why
from previews.samples import messages, selectors
from previews.samples import services as samples
from registry import storage, sweep
from registry.accounts import quotas
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.errors import (
    Forbidden,
    Invalid,
    NotFound,
    QuotaExceeded,
    StateConflict,
    TooLarge,
    UploadRefused,
)
from registry.jobs import queue, worker_process
from registry.models import Blob, Event, Job, JobState, Namespace, VersionState, Visibility
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

LORA = kohya(DENOISERS["sd1", "diffusers"])
PNG = files.encoded(files.photo(), "PNG")
RESTORED = "version"


@pytest.fixture
def version(noir: Adapter) -> Version:
    if there := noir.versions.first():
        return there
    version = catalogue.release(noir, LORA)
    worker_process.drain("checks")
    return version


def bring(actor: User, version: Version, data: bytes = PNG, **said: str) -> Sample:
    return samples.add(actor=actor, version=version, stream=io.BytesIO(data), **said)


def brought(actor: User, version: Version, data: bytes = PNG, **said: str) -> Sample:
    """Bring a picture and have it read."""
    sample = bring(actor, version, data, **said)
    worker_process.drain("checks")
    sample.refresh_from_db()
    return sample


def test_a_picture_is_read_and_shown(version: Version, ada: User) -> None:
    sample = bring(ada, version, name="/home/ada/night.png", caption="At night")
    assert (sample.state, sample.caption, sample.facts) == (
        "queued",
        "At night",
        {"name": "night.png"},
    )
    assert sample.job is not None
    assert (sample.job.queue, sample.job.task) == ("checks", "read_sample")
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert (sample.state, sample.kind, sample.source) == (
        SampleState.READY,
        SampleKind.PICTURE,
        None,
    )
    assert (sample.width, sample.height) == (96, 64)
    assert sample.placeholder.startswith("data:image/webp")
    assert sample.blob is not None
    assert sample.blob.sha256 != hashlib.sha256(PNG).hexdigest()
    assert storage.store().open(sample.blob.sha256).read(4) == b"RIFF"
    assert Event.objects.filter(verb="sample_added", adapter=version.adapter).count() == 1


def test_a_video_has_a_poster(version: Version, ada: User) -> None:
    sample = brought(ada, version, files.film())
    assert (sample.state, sample.kind) == (SampleState.READY, SampleKind.VIDEO)
    assert sample.poster is not None
    [shown] = selectors.shown(ada, [sample])
    assert shown.url == f"/media/samples/{sample.pk}.mp4"
    assert shown.poster_url == f"/media/samples/{sample.pk}.webp"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"", "is unknown"),
    ],
)
def test_other_files_are_refused_before_they_are_kept(
    version: Version, ada: User, data: bytes, code: str
) -> None:
    before = list(storage.store().names())
    with pytest.raises(UploadRefused, match=code):
        bring(ada, version, data)
    assert list(storage.store().names()) == before
    assert not Sample.objects.exists()


def test_what_never_ends_is_refused_on_the_way(version: Version, ada: User) -> None:
    class Endless:
        sent = 0

        def read(self, size: int, /) -> bytes:
            self.sent += size
            return PNG[:8] + b"\0" * (size - 8)

    before, stream = list(storage.store().names()), Endless()
    with pytest.raises(TooLarge, match="20 MiB"):
        samples.add(actor=ada, version=version, stream=stream)
    assert stream.sent < 22 * 2**20
    assert list(storage.store().names()) == before


def test_a_broken_picture_says_why_and_the_worker_goes_on(version: Version, ada: User) -> None:
    broken, sound = bring(ada, version, PNG[:-40]), bring(ada, version)
    worker_process.drain("checks")
    broken.refresh_from_db()
    sound.refresh_from_db()
    assert broken.state == SampleState.REFUSED
    assert broken.reason == "The file is incomplete. Upload the original again."
    assert (broken.blob, broken.source) == (None, None)
    assert sound.state == SampleState.READY


def test_what_was_sent_goes_once_it_is_read(version: Version, ada: User, own_settings: Any) -> None:
    sample = bring(ada, version)
    assert sample.source is not None
    source = sample.source
    own_settings(grace_days=0)
    sweep.run()
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert sample.state == SampleState.READY
    assert sample.blob is not None
    sweep.run()
    sweep.run()
    assert not Blob.objects.get(pk=source.pk).is_stored
    assert Blob.objects.get(pk=sample.blob.pk).is_stored


def test_reading_twice_changes_nothing(version: Version, ada: User) -> None:
    sample = brought(ada, version)
    before = Sample.objects.values().get(pk=sample.pk)
    previews.tasks.read_sample(queue.JobRun(Job.objects.get(task="read_sample")))
    assert Sample.objects.values().get(pk=sample.pk) == before


def test_a_worker_killed_while_reading_is_continued(
    version: Version, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, put = bring(ada, version), promote.put

    def dying(chunks: Any) -> Any:
        put(chunks)
        raise SystemExit

    monkeypatch.setattr(promote, "put", dying)
    with pytest.raises(SystemExit):
        worker_process.drain("checks")
    monkeypatch.setattr(promote, "put", put)
    Job.objects.filter(state=JobState.RUNNING).update(state=JobState.QUEUED, lease_until=None)
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert sample.state == SampleState.READY


def test_folders_of_killed_workers_are_removed() -> None:
    old, new = (settings.LORARY.data / f"sample-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
        (folder / "picture.webp").touch()
    os.utime(old, (0, 0))
    assert samples.delete_leftovers() == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_an_interrupted_reader_is_tried_again(
    version: Version, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(sandbox, "read", interrupted)
    sample = brought(ada, version)
    job = Job.objects.get(task="read_sample")
    assert (sample.state, job.state) == (SampleState.QUEUED, JobState.QUEUED)
    Job.objects.update(attempt=job.max_attempts, run_after=None)
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert sample.state == SampleState.REFUSED
    assert "Upload it again" in sample.reason


def test_a_sample_removed_while_it_waits_is_not_read(version: Version, ada: User) -> None:
    sample = bring(ada, version)
    samples.remove(actor=ada, sample=sample)
    assert worker_process.drain("checks") == 0
    assert not Sample.objects.exists()
    assert Event.objects.filter(verb="sample_removed").exists()


def test_a_sample_whose_job_is_cancelled_is_refused(version: Version, ada: User) -> None:
    sample = bring(ada, version)
    assert sample.job is not None
    ada.is_staff = True
    operator_actions.cancel(actor=ada, job_id=sample.job.pk)
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert (sample.state, sample.source) == (SampleState.REFUSED, None)
    assert sample.reason == "Cancelled by an administrator."


def test_only_those_who_may_publish_bring_pictures(version: Version, ada: User, bob: User) -> None:
    with pytest.raises(Forbidden):
        bring(bob, version)
    sample = bring(ada, version)
    with pytest.raises(Forbidden):
        samples.remove(actor=bob, sample=sample)
    with pytest.raises(Forbidden):
        samples.edit(actor=bob, sample=sample, caption="mine")


def test_a_withdrawn_version_takes_none(version: Version, ada: User) -> None:
    version.state = VersionState.WITHDRAWN
    with pytest.raises(StateConflict):
        bring(ada, version)


def test_a_version_and_a_day_have_limits(
    version: Version,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    own_settings: Callable[..., None],
) -> None:
    monkeypatch.setattr(samples, "MAX_OF_VERSION", 2)
    Sample.objects.create(version=version, author=ada, state=SampleState.REFUSED, reason="x")
    bring(ada, version)
    bring(ada, version)
    with pytest.raises(QuotaExceeded, match="at most 2"):
        bring(ada, version)
    monkeypatch.setattr(samples, "MAX_OF_VERSION", 50)
    own_settings(samples_per_day=2)
    for sample in version.samples.all():
        samples.remove(actor=ada, sample=sample)
    with pytest.raises(QuotaExceeded, match="today"):
        bring(ada, version)


def test_pictures_count_against_the_quota(version: Version, ada: User) -> None:
    before = quotas.used_by(Namespace.objects.get(user=ada))
    sample = bring(ada, version)
    assert quotas.used_by(Namespace.objects.get(user=ada)) == before + len(PNG)
    worker_process.drain("checks")
    sample.refresh_from_db()
    assert sample.blob is not None
    used = before + sample.blob.size_bytes
    assert quotas.used_by(Namespace.objects.get(user=ada)) == used
    Namespace.objects.update(quota_bytes=used + len(PNG) - 1)
    with pytest.raises(QuotaExceeded, match="does not allow"):
        bring(ada, version)
    assert version.samples.count() == 1
    samples.remove(actor=ada, sample=sample)
    bring(ada, version)


def test_old_refusals_are_removed(version: Version, ada: User) -> None:
    old = Sample.objects.create(version=version, author=ada, state=SampleState.REFUSED, reason="x")
    Sample.objects.update(created_at=timezone.now() - timedelta(days=8))
    bring(ada, version)
    assert not Sample.objects.filter(pk=old.pk).exists()


def test_captions_are_cleaned_and_limited(version: Version, ada: User) -> None:
    sample = bring(ada, version, caption=" at\u202e night\n\0")
    assert sample.caption == "at night"
    assert samples.edit(actor=ada, sample=sample, caption="x" * 280).caption == "x" * 280
    with pytest.raises(Invalid):
        samples.edit(actor=ada, sample=sample, caption="x" * 281)


def test_strangers_see_what_is_ready_of_what_they_may_see(
    version: Version, ada: User, bob: User
) -> None:
    waiting = bring(ada, version)
    assert list(selectors.listing(bob, version)) == []
    assert list(selectors.listing(ada, version)) == [waiting]
    with pytest.raises(NotFound):
        selectors.get(bob, waiting.pk)
    worker_process.drain("checks")
    assert selectors.get(None, waiting.pk) == waiting
    version.adapter.visibility = Visibility.PRIVATE
    version.adapter.save()
    with pytest.raises(NotFound):
        selectors.get(bob, waiting.pk)
    assert selectors.get(ada, waiting.pk) == waiting


def made_with(*hashes: str) -> bytes:
    """A PNG whose metadata name an adapter for each hash."""
    names = ", ".join(f"lora{number}: {text}" for number, text in enumerate(hashes))
    text = f'a harbour\nSteps: 20, Seed: 1, Lora hashes: "{names}"'
    return files.png(files.chunk(b"tEXt", b"parameters\0" + text.encode()))


def matched(user: User | None, sample: Sample) -> list[str | None]:
    [shown] = selectors.shown(user, [sample])
    assert "sha256" not in str(shown.facts)
    return [item["matched"] for item in shown.facts["resources"]]


def test_adapters_are_found_by_every_form_of_their_hash(version: Version, ada: User) -> None:
    file = version.primary_file
    assert file is not None
    digest, data = file.sha256, file.blob.hashes["data_sha256"]
    hashes = (digest, digest[:10], digest[:12], data[:12], data, "0" * 12)
    sample = brought(ada, version, made_with(*hashes))
    assert matched(None, sample) == ["ada/noir@v1"] * 5 + [None]


@pytest.mark.parametrize("visibility", [Visibility.PRIVATE, Visibility.UNLISTED])
def test_adapters_that_are_not_listed_are_not_named(
    version: Version, ada: User, bob: User, visibility: Visibility
) -> None:
    hidden = adapters.create(actor=bob, name="secret", visibility=visibility)
    other = catalogue.release(hidden, kohya(DENOISERS["sd1", "diffusers"], rank=2))
    file = other.primary_file
    assert file is not None
    sample = brought(ada, version, made_with(file.sha256[:10]))
    assert matched(ada, sample) == [None]
    assert matched(bob, sample) == ["bob/secret@v1"]


def test_the_same_bytes_are_named_as_the_picture_s_own_adapter(
    version: Version, ada: User, bob: User
) -> None:
    copy = adapters.create(actor=bob, name="copy")
    catalogue.release(copy, LORA)
    file = version.primary_file
    assert file is not None
    sample = brought(ada, version, made_with(file.sha256))
    assert matched(None, sample) == ["ada/noir@v1"]


def test_an_unlisted_adapter_is_named_beside_its_own_pictures(version: Version, ada: User) -> None:
    version.adapter.visibility = Visibility.UNLISTED
    version.adapter.save()
    file = version.primary_file
    assert file is not None
    assert matched(None, brought(ada, version, made_with(file.sha256))) == ["ada/noir@v1"]


def test_as_many_hashes_as_a_picture_may_name_are_looked_for(version: Version) -> None:
    file = version.primary_file
    assert file is not None
    hashes = [f"{number:012x}" for number in range(MAX_RESOURCES * MAX_HASHES - 1)]
    assert selectors.digests_of([*hashes, file.sha256[:10]]) == {file.sha256[:10]: file.sha256}


def test_every_reason_has_a_sentence_with_its_particulars(subtests: pytest.Subtests) -> None:
    for why in Why:
        with subtests.test(why=why):
            facts: dict[str, Any] = {
                "what": "SVG", "limit_mib": 1, "width": 2, "height": 3, "megapixels": 4,
                "seconds": 5, "limit_s": 6, "limit": 7, "codec": "mpeg4",
            }  # fmt: skip
            sentence = messages.reason(Refused(why, **facts))
            assert sentence.endswith(".")
            assert "%" not in sentence
