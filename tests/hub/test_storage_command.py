"""``manage.py storage`` in process."""

from __future__ import annotations

import json
import os
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from hub.config import moved_to
from hub.operations import process_lock
from registry import storage
from registry.models import Blob, Event
from registry.uploads import services as uploads
from tests.buckets import CREDENTIALS
from tests.running import free_port
from tests.stored import blob_of, put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import User

pytestmark = pytest.mark.django_db


def keep(data: bytes) -> str:
    return blob_of(data).sha256


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("storage", *arguments, stdout=out, stderr=StringIO())
    return int(leaving.value.code or 0), out.getvalue()


def document(*arguments: str) -> dict[str, Any]:
    code, said = run(*arguments, "--json")
    told: dict[str, Any] = json.loads(said)
    assert told["ok"] == (code == 0)
    return told


@pytest.fixture
def there(tmp_path: Path) -> str:
    return (tmp_path / "there").as_uri()


def test_status_counts_rows_and_files() -> None:
    keep(b"first")
    lost = keep(b"second")
    put_bytes([b"nobody's"])
    assert run() == run("status")
    assert document()["missing"] == []
    storage.store().delete(lost)
    code, said = run("status")
    assert code == 1
    assert settings.LORARY.storage in said
    assert "2 files (11 bytes) referenced by the database; 2 (13 bytes) stored" in said
    assert lost in said
    assert "1 unreferenced (8 bytes)" in said
    assert document()["missing"] == [lost]


def test_verify_reads_what_it_is_told_to() -> None:
    digests = [keep(bytes([number])) for number in range(5)]
    assert document("verify", "--sample", "2")["done"] == 2
    assert document("verify")["done"] == 5  # fewer than the usual sample
    place = storage.store().link(digests[0], storage.Fetch())
    assert not isinstance(place, str)
    assert place is not None
    place.write_bytes(b"?")
    code, said = run("verify", "--all")
    assert code == 1
    assert "4 files (4 bytes) intact" in said
    assert "1 file damaged; restore" in said
    assert digests[0] in said


def test_copy_brings_all_and_changes_nothing_here(there: str) -> None:
    sha256 = keep(b"first")
    assert document("copy", "--to", there, "--dry-run")["done"] == 1
    assert "1 file (5 bytes) copied and verified; 0 already there" in run("copy", "--to", there)[1]
    assert document("copy", "--to", there)["present"] == 1
    assert document("verify", "--all", "--at", there)["done"] == 1
    assert moved_to(settings.LORARY.data) == ""
    with storage.store().open(sha256) as handle:
        assert handle.read() == b"first"


def test_mend_brings_lost_files_from_a_backup(there: str) -> None:
    lost = keep(b"lost")
    keep(b"there")
    assert document("copy", "--to", there)["done"] == 2
    storage.store().delete(lost)
    code, said = run("mend", "--from", there)
    assert (code, said) == (0, "1 file intact; 1 mended\n")
    assert Event.objects.get(verb="files_mended").facts == {"count": 1}
    assert document("mend", "--from", there)["right"] == 2


def damage(sha256: str, store: storage.BlobStore) -> None:
    place = store.link(sha256, storage.Fetch())
    assert not isinstance(place, str)
    assert place is not None
    place.write_bytes(bytes(place.stat().st_size))


def test_mend_says_what_the_backup_cannot_give(there: str) -> None:
    absent = keep(b"absent there")
    document("copy", "--to", there)
    storage.store_at(there).delete(absent)
    damage(absent, storage.store())
    code, said = run("mend", "--from", there)
    assert code == 1
    assert f"1 file missing or damaged here, and not at {there}; try another backup" in said
    assert "storage mend" not in said  # it was just run

    document("copy", "--to", there)
    both = keep(b"damaged there, too")
    document("copy", "--to", there)
    damage(both, storage.store_at(there))
    storage.store().delete(both)
    code, said = run("mend", "--from", there)
    assert code == 1
    assert f"1 file missing or damaged here, and damaged at {there}; try another backup" in said
    assert both in said


def test_verify_says_how_another_store_is_filled(there: str) -> None:
    sha256 = keep(b"first")
    code, said = run("verify", "--all", "--at", there)
    assert (code, "1 file missing there; the next copy or backup adds them" in said) == (1, True)
    document("copy", "--to", there)
    damage(sha256, storage.store_at(there))
    code, said = run("verify", "--all", "--at", there)
    assert (code, "the next copy or backup adds what the hub has" in said) == (1, True)
    storage.store_at(there).delete(sha256)
    assert run("copy", "--to", there)[0] == run("verify", "--all", "--at", there)[0] == 0
    damage(sha256, storage.store())
    assert "storage mend --from URL" in run("verify", "--all", "--at", settings.LORARY.storage)[1]


def test_verify_reads_files_that_only_old_backups_have(there: str) -> None:
    sha256 = keep(b"first")
    document("copy", "--to", there)
    Blob.objects.filter(sha256=sha256).delete()
    storage.store().delete(sha256)
    assert document("verify", "--all", "--at", there)["done"] == 1
    assert document("verify", "--all")["done"] == 0
    damage(sha256, storage.store_at(there))
    assert document("verify", "--all", "--at", there)["damaged"] == [sha256]
    assert document("verify", "--at", there)["ok"]


def test_move_says_what_it_left_behind(there: str) -> None:
    damage(keep(b"damaged"), storage.store())
    storage.store().delete(keep(b"lost"))
    keep(b"there")
    assert "pass --leave-missing" in run("move", "--to", there)[1]
    code, said = run("move", "--to", there, "--leave-missing")
    assert code == 0
    assert "all referenced files except 2 files that were missing or damaged are at" in said


def test_a_move_that_a_store_refused_is_run_again(there: str, tmp_path: Path) -> None:
    sha256 = keep(b"first")
    place = tmp_path / "there" / "blobs" / sha256[:2] / sha256[2:4] / sha256
    place.mkdir(parents=True)  # nothing can be renamed onto it
    code, said = run("move", "--to", there)
    assert (code, "1 file failed; run it again" in said) == (1, True)
    assert ". Run it again." in said
    assert "--leave-missing" not in said
    assert not Event.objects.filter(verb="store_moved").exists()
    place.rmdir()
    assert "all referenced files are at" in run("move", "--to", there)[1]
    assert Event.objects.get(verb="store_moved").facts["to"] == there


def test_copy_beside_a_running_hub_and_move_only_without(there: str) -> None:
    keep(b"first")
    process_lock.hold()
    try:
        assert document("copy", "--to", there)["done"] == 1
        with pytest.raises(CommandError, match="Stop it and its workers first"):
            call_command("storage", "move", "--to", there)
    finally:
        os.close(process_lock._held.pop())


def test_move_switches_and_says_what_to_set(
    there: str, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    former = settings.LORARY.storage
    keep(b"first")
    assert document("move", "--to", there, "--dry-run")["moved"] is False
    assert moved_to(settings.LORARY.data) == ""
    code, said = run("move", "--to", there)
    assert code == 0
    assert there in said
    assert former in said
    assert "unset it here" not in said
    assert moved_to(settings.LORARY.data) == there

    own_settings(storage=there)
    monkeypatch.setenv("LORARY_STORAGE", there)
    code, said = run("move", "--to", former)  # and back
    assert code == 0
    assert "unset it here" in said
    assert moved_to(settings.LORARY.data) == former


def test_one_upload_that_came_along_is_one(there: str, ada: User) -> None:
    uploads.create(actor=ada, path="a.safetensors", size_bytes=5000)
    assert "1 open upload moved" in run("move", "--to", there)[1]


def test_move_does_not_leave_missing_files_behind_unasked(there: str) -> None:
    lost = keep(b"lost")
    keep(b"there")
    storage.store().delete(lost)
    code, said = run("move", "--to", there)
    assert code == 1
    assert "Not moved" in said
    assert lost in said
    assert moved_to(settings.LORARY.data) == ""
    told = document("move", "--to", there, "--leave-missing")
    assert (told["moved"], told["missing"]) == (True, [lost])
    assert moved_to(settings.LORARY.data) == there


REFUSED = [
    (["copy"], "need --to"),
    (["status", "--to", "file:///x"], "need --to"),
    (["copy", "--to", "ftp://x"], "ftp://x"),
    (["verify", "--at", "nowhere"], "nowhere"),
    (["mend"], "needs --from"),
    (["mend", "--from", "file:///does/not/exist"], "the folder /does/not/exist does not exist"),
    (["verify", "--sample", "0"], "at least 1"),
    (["copy", "--to", "file:///x", "--threads", "0"], "at least 1"),
]


def test_what_makes_no_sense_is_refused(subtests: pytest.Subtests) -> None:
    for arguments, refusal in REFUSED:
        with (
            subtests.test(arguments=arguments),
            pytest.raises(CommandError, match=refusal),
        ):
            call_command("storage", *arguments)


def test_the_same_place_by_another_name_is_refused() -> None:
    with pytest.raises(CommandError, match="already"):
        call_command("storage", "copy", "--to", f"{settings.LORARY.storage}/../files/")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a bucket where nobody answers."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return f"s3://lorary/files?endpoint=http://127.0.0.1:{free_port()}"


def test_a_store_that_does_not_answer_is_told_with_its_reason(nobody: str) -> None:
    with pytest.raises(CommandError, match=r"Could not connect .* Check its address"):
        call_command("storage", "copy", "--to", nobody)


def test_a_move_to_where_no_hub_would_start_is_refused(
    nobody: str, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=2**20)
    with pytest.raises(CommandError, match="LORARY_UPLOAD_PART_BYTES"):
        call_command("storage", "move", "--to", nobody)
