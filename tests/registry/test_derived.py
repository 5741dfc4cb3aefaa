"""Derived files: limits, refusals, and how long they are kept."""

from __future__ import annotations

import errno
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from django.conf import settings
from django.utils import timezone

from registry import storage, sweep
from registry.adapters import services as adapters
from registry.confined import running
from registry.derived import expiry, making, on_demand, selectors, services
from registry.derived.options import Wanted
from registry.errors import (
    Gone,
    Invalid,
    NotFound,
    RateLimited,
    StateConflict,
    StorageFull,
    TooLarge,
)
from registry.jobs import queue, worker_process
from registry.jobs.queue import Retry
from registry.models import Blob, DerivedFile, DerivedState, Job
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, Target, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.derived.selectors import Derived, Source
    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db
RESTORED = "version"
COMFYUI = Wanted("comfyui")
MODULES = DENOISERS["sd1", "diffusers"]


@pytest.fixture
def version(noir: Adapter) -> Version:
    data = kohya(MODULES, rank=16, metadata={"ss_network_dim": "16"})
    return noir.versions.first() or catalogue.release(noir, data)


@pytest.fixture
def source(version: Version) -> Source:
    return selectors.source_of(None, "ada", "noir", version.name)


def ask(source: Source, wanted: Wanted = COMFYUI, actor: User | None = None) -> Derived:
    return services.request(actor=actor, source=source, wanted=wanted, address="192.0.2.1")


def make(source: Source, wanted: Wanted = COMFYUI) -> DerivedFile:
    ask(source, wanted)
    worker_process.drain("checks")
    return DerivedFile.objects.get(**source.key_of(wanted))


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("comfyui", Wanted("comfyui")),
        ("r8", Wanted("", 8)),
        ("stripped", Wanted("", 0, is_stripped=True)),
        ("peft.r128.stripped", Wanted("peft", 128, is_stripped=True)),
    ],
)
def test_a_variant_says_how_a_file_differs(variant: str, wanted: Wanted) -> None:
    assert Wanted.parse(variant) == wanted
    assert wanted.variant == variant


@pytest.mark.parametrize(
    "variant", ["", ".", "r7", "r08", "comfyui.", "r8.comfyui", "original", "stripped.r8", "r8.x"]
)
def test_other_variants_do_not_exist(variant: str) -> None:
    with pytest.raises(NotFound):
        Wanted.parse(variant)


def test_making_a_file_again_gives_the_same_bytes(source: Source) -> None:
    first = make(source)
    assert first.state == DerivedState.READY
    before = first.blob_id
    making.make(row=first, progress=lambda *_: None)  # ready: nothing to do
    DerivedFile.objects.update(state=DerivedState.QUEUED, blob=None)
    first.refresh_from_db()
    making.make(row=first, progress=lambda *_: None)
    again = DerivedFile.objects.get()
    assert before is not None
    assert again.blob_id == before
    assert source.version.files.count() == source.version.revision.files.count() == 1


@pytest.mark.parametrize(("name", "is_attempt"), [("SIGKILL", True), ("SIGTERM", False)])
def test_only_a_killed_process_counts_as_an_attempt(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_attempt: bool
) -> None:
    program = f"#!/bin/sh\nkill -s {name.removeprefix('SIG')} $$\n"
    (tmp_path / "python").write_text(program)
    (tmp_path / "python").chmod(0o700)
    row = ask(source).row
    assert row is not None
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Retry) as stopped:
        making.make(row=row, progress=lambda *_: None)
    assert stopped.value.is_attempt is is_attempt


@pytest.mark.service
@pytest.mark.usefixtures("bucket")
def test_a_file_in_a_bucket_is_read_from_there(source: Source) -> None:
    row = make(source)
    assert row.state == DerivedState.READY
    assert row.blob is not None
    assert row.blob.sha256 in catalogue.stored()
    assert list(running.work_folder().iterdir()) == []


def test_what_has_no_name_in_a_naming_is_refused_by_name(noir: Adapter) -> None:
    odd = {"lora_te": [Target("unheard.of", (8, 8))]}
    row = catalogue.release(noir, kohya(MODULES, encoders=odd))
    source = selectors.source_of(None, "ada", "noir", row.name)
    made = make(source, Wanted("diffusers"))
    assert (made.state, made.refusal) == (DerivedState.REFUSED, "not_convertible")
    assert "lora_te_unheard_of" in made.reason
    again = ask(source, Wanted("diffusers"))
    assert again.state == "refused"
    with pytest.raises(StateConflict):
        _ = again.served


def test_only_what_the_anatomy_allows_can_be_requested(noir: Adapter, source: Source) -> None:
    assert ask(source, Wanted("kohya", 64)).row is None
    plain = catalogue.release(noir, kohya(DENOISERS["flux1", "native"][:1], rank=4))
    other = selectors.source_of(None, "ada", "noir", plain.name)  # FLUX.1 or Chroma
    assert other.options.family == ""
    assert not other.options.is_strippable
    assert not other.options.ranks
    unknown = catalogue.release(noir, kohya([Target("made.up", (64, 64))], rank=16))
    nowhere = selectors.source_of(None, "ada", "noir", unknown.name)
    assert nowhere.options.ranks == (4, 8)
    with pytest.raises(Invalid, match="base model is not known"):
        ask(nowhere)


def test_comfyui_is_not_offered_without_names_for_the_text_encoder(noir: Adapter) -> None:
    demo = (settings.ROOT / "previews/miniature/adapters/gold.safetensors").read_bytes()
    row = catalogue.release(noir, demo)
    options = selectors.source_of(None, "ada", "noir", row.name).options
    assert (options.held, options.namings) == ("kohya", ("peft", "diffusers"))
    assert (
        "These namings are possible: kohya, peft, diffusers. ComfyUI also loads the kohya"
        in options.reason
    )


def test_limits_count_new_files_only(source: Source, own_settings: Callable[..., None]) -> None:
    own_settings(derived_per_hour=1)
    first = ask(source)
    assert ask(source).row == first.row
    with pytest.raises(RateLimited) as refused:
        ask(source, Wanted("peft"))
    assert 0 < refused.value.facts["retry_after"] <= 3600
    own_settings(derived_per_hour=0)
    with pytest.raises(StateConflict, match="lorary convert"):
        ask(source, Wanted("peft"))
    own_settings(derived_per_hour=9, derived_bytes=source.file.size_bytes - 1)
    with pytest.raises(TooLarge):
        ask(source, Wanted("peft"))


def test_the_least_used_file_makes_place(source: Source, own_settings: Callable[..., None]) -> None:
    own_settings(derived_forms=2)
    stripped = Wanted("", 0, is_stripped=True)
    ask(source)
    ask(source, stripped)
    with pytest.raises(RateLimited):  # both are still being made
        ask(source, Wanted("peft"))
    DerivedFile.objects.update(state=DerivedState.REFUSED)
    DerivedFile.objects.filter(is_stripped=True).update(used_at=timezone.now() - timedelta(1))
    ask(source, Wanted("peft"))
    assert {row.naming for row in DerivedFile.objects.all()} == {"comfyui", "peft"}


def test_the_least_used_files_make_room_and_new_ones_are_refused_without(
    source: Source, own_settings: Callable[..., None]
) -> None:
    ask(source)
    ask(source, Wanted("peft"))
    ask(source, Wanted("diffusers"))
    size = source.file.size_bytes
    for number, row in enumerate(DerivedFile.objects.order_by("pk")):
        blob = Blob.objects.create(sha256=f"{number:064x}", size_bytes=size)
        used_at = timezone.now() - timedelta(days=10 * number)  # the last is the least used
        DerivedFile.objects.filter(pk=row.pk).update(blob=blob, state="ready", used_at=used_at)
    own_settings(derived_total_bytes=4 * size)
    assert expiry.stored_bytes() == 3 * size
    assert expiry.forget() == 0  # three quarters
    own_settings(derived_total_bytes=4 * size - 1)
    with pytest.raises(RateLimited, match="no room"):
        ask(source, Wanted("comfyui", 8))
    assert expiry.forget() == 1
    assert {row.naming for row in DerivedFile.objects.all()} == {"comfyui", "peft"}
    assert ask(source, Wanted("comfyui", 8)).is_open
    own_settings(derived_total_bytes=0)
    with pytest.raises(TooLarge):
        ask(source, Wanted("diffusers"))
    expiry.forget()
    assert DerivedFile.objects.filter(naming="comfyui", max_rank=0).exists()  # used today


def test_the_hub_makes_a_limited_number_of_files_at_once(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_demand, "MOST_QUEUED", 1)
    first = ask(source)
    with pytest.raises(RateLimited, match="other files"):
        ask(source, Wanted("peft"))
    assert ask(source).row == first.row
    assert first.row is not None
    queue.cancel(first.row.job_key)
    assert ask(source, Wanted("peft")).is_open


def test_polls_do_not_queue_the_work_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(source)
    calls: list[str] = []
    monkeypatch.setattr(queue, "enqueue", lambda **kwargs: calls.append(kwargs["key"]))
    for expected in (0, 1):
        for _poll in range(3):
            assert ask(source).is_open
        assert len(calls) == expected
        DerivedFile.objects.update(used_at=timezone.now() - on_demand.ENQUEUE)


def test_a_file_that_is_made_again_takes_no_second_place(
    source: Source, own_settings: Callable[..., None]
) -> None:
    own_settings(derived_forms=2)
    ask(source)
    ask(source, Wanted("peft"))
    DerivedFile.objects.filter(naming="peft").update(state=DerivedState.REFUSED)
    DerivedFile.objects.filter(naming="comfyui").update(state=DerivedState.FAILED)
    assert ask(source).is_open
    assert DerivedFile.objects.count() == 2


def test_unused_files_are_removed_and_can_be_made_again(source: Source) -> None:
    row = ask(source).row
    assert row is not None
    DerivedFile.objects.update(used_at=timezone.now() - timedelta(days=31))
    on_demand.used(row)  # a download
    assert expiry.forget() == 0
    DerivedFile.objects.update(used_at=timezone.now() - timedelta(days=31))
    assert expiry.forget(is_dry=True) == 1
    assert expiry.forget() == 1
    assert ask(source).is_open


def test_the_same_bytes_elsewhere_show_nothing_of_it(bob: User, source: Source) -> None:
    row = make(source)
    other = adapters.create(actor=bob, name="copy")
    with storage.store().open(source.file.sha256) as file:
        copy = catalogue.release(other, file.read(), path="copy.safetensors")
    theirs = selectors.source_of(bob, "bob", "copy", copy.name)
    assert theirs.file.blob == source.file.blob
    assert selectors.listing(theirs) == []
    assert ask(theirs).is_open
    assert make(theirs).blob == row.blob


def test_a_failure_shows_no_path_of_the_server(source: Source) -> None:
    row = ask(source).row
    assert row is not None
    job = Job.objects.get(task=DerivedFile.task)
    storage.store().delete(source.file.sha256)
    Job.objects.update(attempt=job.max_attempts - 1)
    worker_process.drain("checks")
    job.refresh_from_db()
    row.refresh_from_db()
    assert "FileNotFoundError" in job.reason
    assert (row.state, row.reason) == (DerivedState.FAILED, running.failed_text())


def test_a_failure_with_a_text_for_users_shows_it(ada: User, source: Source) -> None:
    row = ask(source).row
    withdraw.withdraw(actor=ada, version=source.version, reason="A mistake.")
    worker_process.drain("checks")
    assert row is not None
    row.refresh_from_db()
    assert (row.state, row.reason) == (DerivedState.FAILED, "The source was withdrawn.")


def test_a_full_disk_is_tried_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_args: object, **_options: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    row = ask(source).row
    assert row is not None
    monkeypatch.setattr(Path, "write_text", no_room)
    with pytest.raises(StorageFull):
        making.make(row=row, progress=lambda *_: None)


def test_work_that_a_killed_process_left_is_swept() -> None:
    left = running.work_folder() / "left"
    (left / "out").mkdir(parents=True)
    (left / "out" / "file").write_bytes(b"12345")
    assert expiry.sweep(is_dry=False) == (0, 0)
    os.utime(left, (0, 0))
    assert expiry.sweep(is_dry=True) == (1, 5)
    assert left.exists()
    assert expiry.sweep(is_dry=False) == (1, 5)
    assert not left.exists()


def test_a_file_that_failed_or_was_lost_is_made_again(source: Source) -> None:
    row = make(source)
    assert row.blob is not None
    storage.store().delete(row.blob.sha256)
    Blob.objects.filter(pk=row.blob.pk).update(is_stored=False)
    assert selectors.get(source, "comfyui").state == "failed"
    assert make(source).blob == row.blob
    assert row.blob.sha256 in catalogue.stored()
    on_demand.fail(row=row, reason="A crash.")  # ready: nothing to end
    DerivedFile.objects.update(state=DerivedState.FAILED, reason="A crash.")
    assert ask(source).is_open
    assert DerivedFile.objects.get().reason == ""


def test_a_withdrawal_ends_its_derived_files(
    ada: User, source: Source, own_settings: Callable[..., None]
) -> None:
    own_settings(grace_days=0)
    blob = make(source).blob
    assert blob is not None
    sweep.run()
    assert blob.sha256 in catalogue.stored()
    withdraw.withdraw(actor=ada, version=source.version, reason="A mistake.")
    with pytest.raises(Gone):
        selectors.source_of(None, "ada", "noir", "v1")
    sweep.run()
    sweep.run()
    assert not DerivedFile.objects.exists()
    assert not Blob.objects.get(pk=blob.pk).is_stored
