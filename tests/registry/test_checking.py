"""The task around the checks: delivered twice, cut off, out of time, or while things are away."""

from __future__ import annotations

import io
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from registry import storage, tasks
from registry.blobs import promote
from registry.errors import Conflict, StorageAway, StorageFull
from registry.jobs import queue, worker_process
from registry.models import Blob, Event, Finding, Job, JobState, Upload, UploadState, User
from registry.scan import checks
from registry.uploads import check
from registry.uploads import services as uploads
from tests.builders.adapters import kohya
from tests.registry.files import LORA, SD1

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.scan.checks import Subject

pytestmark = pytest.mark.django_db(transaction=True)

#: A file with a finding of its header and one of its bytes.
ODD = kohya(SD1, metadata={"ss_base_model_version": "sdxl_base_v1-0", "sshs_model_hash": "ab" * 32})


def sent(actor: User, data: bytes = LORA, path: str = "noir.safetensors") -> Upload:
    """Return an upload whose checks are queued."""
    upload = uploads.create(actor=actor, path=path, size_bytes=len(data))
    return uploads.receive(actor=actor, upload=upload, stream=io.BytesIO(data))


def state_of(upload: Upload) -> str:
    upload.refresh_from_db()
    return upload.state


def codes(upload: Upload) -> list[str]:
    return list(upload.findings.values_list("code", flat=True))


def test_a_second_delivery_changes_nothing(ada: User) -> None:
    upload = sent(ada, ODD)
    assert worker_process.drain("checks") == 1
    before = codes(upload)
    assert {"metadata_conflict", "hash_differs"} <= set(before)
    Job.objects.update(state=JobState.QUEUED, attempt=0)
    assert worker_process.drain("checks") == 1
    assert (state_of(upload), codes(upload)) == (UploadState.ACCEPTED, before)
    assert Event.objects.filter(verb="upload_accepted").count() == 1


def test_a_run_after_the_promotion_takes_the_promoted_bytes(ada: User) -> None:
    upload = sent(ada)
    storage.store().promote(upload.storage_key, upload.sha256)  # and its worker died
    worker_process.drain("checks")
    assert state_of(upload) == UploadState.ACCEPTED


def judge_until_free(upload: Upload) -> None:
    """Judge as workers do: a busy database is a reason to try again.

    The database of the tests is in memory, where tables are locked without any waiting.
    """
    while True:
        try:
            check.run_checks(upload=Upload.objects.get(pk=upload.pk))
        except OperationalError as error:
            if "locked" not in str(error):
                raise
        else:
            return


def test_two_workers_at_once_give_one_verdict(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(ada, ODD)
    both, have_met = threading.Barrier(2), threading.Event()
    whole = checks.run_deep

    def meet(subject: Subject, **rest: Any) -> Any:
        found = whole(subject, **rest)
        if not have_met.is_set():
            both.wait(20)
            have_met.set()
        return found

    monkeypatch.setattr(checks, "run_deep", meet)
    wrong: list[BaseException] = []

    def judge() -> None:
        try:
            judge_until_free(upload)
        except BaseException as error:
            wrong.append(error)
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=judge) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert state_of(upload) == UploadState.ACCEPTED
    assert (Blob.objects.count(), Event.objects.filter(verb="upload_accepted").count()) == (1, 1)
    assert len(codes(upload)) == len(set(codes(upload))) == Finding.objects.count()


def test_findings_of_a_run_replace_those_of_the_one_before(ada: User) -> None:
    upload = sent(ada, ODD)
    worker_process.drain("checks")
    before = codes(upload)
    Upload.objects.update(state=UploadState.CHECKING, blob=None)
    check.run_checks(upload=Upload.objects.get(pk=upload.pk))
    assert codes(upload) == before


AWAY: list[Exception] = [
    OperationalError("database is locked"),
    Conflict("held"),
    StorageAway("bucket"),
    StorageFull("no room"),
    ConnectionResetError("storage"),
    TimeoutError("storage"),
]


def failing(error: Exception) -> Callable[..., None]:
    def fail(_subject: Subject, **_rest: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_what_is_away_is_waited_for_and_is_no_attempt(
    ada: User, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    upload = sent(ada)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "run_deep", failing(error))
        for _try in range(8):
            Job.objects.update(run_after=None)
            assert worker_process.drain("checks") == 1
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert str(error) in job.reason
    assert state_of(upload) == UploadState.CHECKING
    Job.objects.update(run_after=None)
    worker_process.drain("checks")
    assert state_of(upload) == UploadState.ACCEPTED


def test_what_is_away_for_days_is_given_up(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(ada)
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    monkeypatch.setattr(checks, "run_deep", failing(OperationalError("gone")))
    for _try in range(6):
        Job.objects.update(run_after=None)
        worker_process.drain("checks")
    assert Job.objects.get().state == JobState.FAILED
    assert (state_of(upload), codes(upload)) == (UploadState.REFUSED, ["check_failed"])


def test_an_error_that_no_other_try_will_mend_ends_at_once(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sent(ada)
    monkeypatch.setattr(checks, "run_deep", failing(ZeroDivisionError("a fault of ours")))
    worker_process.drain("checks")
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert state_of(upload) == UploadState.REFUSED
    assert Event.objects.get(verb="upload_refused").subject == upload.path
    assert upload.findings.get().evidence == {"reason": "ZeroDivisionError: a fault of ours"}


def test_missing_bytes_are_looked_for_a_few_times(ada: User) -> None:
    upload = sent(ada)
    storage.store().delete(upload.storage_key)
    for attempt in range(1, 6):
        Job.objects.update(run_after=None)
        worker_process.drain("checks")
        assert Job.objects.get().attempt == attempt
    assert (state_of(upload), codes(upload)) == (UploadState.REFUSED, ["check_failed"])


def test_bytes_that_changed_on_disk_are_refused_and_gone(ada: User) -> None:
    upload = sent(ada)
    storage.store().write(upload.storage_key, [LORA[:-1] + b"\x00"])
    worker_process.drain("checks")
    assert (state_of(upload), codes(upload)[-1]) == (UploadState.REFUSED, "stored_differs")
    assert [entry[0] for entry in storage.store().names()] == []


def test_checks_that_are_too_slow_end_and_are_tried_again(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sent(ada)
    monkeypatch.setattr(tasks, "MIN_LIMIT_S", -1000.0)
    worker_process.drain("checks")
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert "time limit" in job.reason
    assert state_of(upload) == UploadState.CHECKING


def test_the_time_grows_with_the_file(ada: User) -> None:
    job = Job(args={"upload_id": sent(ada).pk})
    short = tasks._limit_s(job)
    Upload.objects.update(size_bytes=4 * 2**30)
    assert tasks._limit_s(job) - short == pytest.approx(4096, abs=1)


def test_a_cancelled_upload_stops_its_checks(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(ada)
    whole = checks.run_deep

    def cancel_first(subject: Subject, **rest: Any) -> Any:
        uploads.cancel(actor=ada, upload=Upload.objects.get(pk=upload.pk))
        return whole(subject, **rest)

    monkeypatch.setattr(checks, "run_deep", cancel_first)
    worker_process.drain("checks")
    assert Job.objects.get().state == JobState.CANCELLED
    assert state_of(upload) == UploadState.CANCELLED
    assert not Blob.objects.exists()


def test_an_upload_that_went_with_its_owner_leaves_no_job_behind(ada: User) -> None:
    upload = sent(ada)
    Upload.objects.filter(pk=upload.pk).delete()
    worker_process.drain("checks")
    assert Job.objects.get().state == JobState.FAILED


def test_progress_is_noted_and_complete(ada: User) -> None:
    upload = sent(ada)
    worker_process.drain("checks")
    job = Job.objects.get()
    assert (job.done, job.total) == (upload.size_bytes, upload.size_bytes)


def test_a_digest_that_is_just_being_removed_is_waited_for(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sent(ada)
    monkeypatch.setattr(promote, "WAIT_S", 0.0)
    with promote.deleting(upload.sha256, size_bytes=upload.size_bytes):
        worker_process.drain("checks")
    assert (Job.objects.get().attempt, state_of(upload)) == (0, UploadState.CHECKING)
    Job.objects.update(run_after=None)
    worker_process.drain("checks")
    assert state_of(upload) == UploadState.ACCEPTED


def test_a_job_over_its_time_is_another_workers(
    monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]
) -> None:
    own_settings(job_lease_s=0)  # beats without a pause
    renewed: list[Job] = []
    monkeypatch.setattr(queue, "renew", renewed.append)
    ended = threading.Event()

    class Beat(worker_process._Heartbeat):
        def _beat(self) -> None:
            super()._beat()
            ended.set()

    with Beat(Job(task="hangs"), limit_s=-1.0):
        assert ended.wait(20)
    assert renewed == []


def test_a_task_that_this_worker_does_not_know_is_left_to_others() -> None:
    queue.enqueue(queue="checks", task="of_tomorrow", args={}, key="k")
    worker_process.drain("checks")
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert "of_tomorrow" in job.reason
