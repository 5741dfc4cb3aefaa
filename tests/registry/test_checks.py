"""One bad file for every check of an upload, and good ones that pass."""

from __future__ import annotations

import io

import pytest

from registry import checks, storage, worker
from registry.errors import UploadRefused
from registry.models import Job, Upload, UploadState, User
from registry.services import uploads
from tests.registry.files import LORA, with_nan

pytestmark = pytest.mark.django_db(transaction=True)


def names() -> list[str]:
    return [name for name, _changed in storage.store().names()]


def start(actor: User, data: bytes = LORA, path: str = "noir.safetensors") -> Upload:
    return uploads.create(actor=actor, path=path, size_bytes=len(data))


def subject(data: bytes, path: str = "noir.safetensors") -> checks.Subject:
    return checks.Subject(path, len(data), io.BytesIO(data))


def test_a_pickle_by_another_name_is_refused_and_gone(ada: User) -> None:
    data = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94." + b"\0" * 64
    upload = start(ada, data)
    with pytest.raises(UploadRefused) as refusal:
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(data))
    assert refusal.value.findings[0].severity == "error"
    assert names() == []
    assert not Job.objects.exists()


def test_a_file_with_nan_is_refused_by_the_deep_check(ada: User) -> None:
    data = with_nan(LORA)
    upload = start(ada, data)
    uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(data))
    worker.drain("checks")
    upload.refresh_from_db()
    assert upload.state == UploadState.REFUSED
    assert "numbers_not_finite" in [finding.code for finding in upload.findings.all()]
    assert names() == []


@pytest.mark.parametrize("path", ["noir.ckpt", "noir.pt", "run.sh", "noir.zip", "noir"])
def test_other_kinds_of_files_are_refused(ada: User, path: str) -> None:
    upload = start(ada, b"data", path)
    with pytest.raises(UploadRefused) as refusal:
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(b"data"))
    assert refusal.value.findings[0].code == "file_type_unsupported"


def test_a_picture_that_is_none_is_refused(ada: User) -> None:
    upload = start(ada, b"<svg/>", "sample.png")
    with pytest.raises(UploadRefused) as refusal:
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(b"<svg/>"))
    assert refusal.value.findings[0].code == "content_differs_from_name"


def test_a_sound_adapter_passes_every_check() -> None:
    assert not checks.is_refused(checks.run_deep(subject(LORA)))


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("README.md", b"# Noir"),
        ("adapter_config.json", b"{}"),
        ("sample.png", b"\x89PNG\r\n\x1a\nrest"),
        ("sample.jpg", b"\xff\xd8\xffrest"),
    ],
)
def test_companions_that_are_what_they_say_pass(path: str, data: bytes) -> None:
    assert checks.run_deep(subject(data, path)) == []


def test_a_companion_is_small() -> None:
    huge = checks.Subject("notes.txt", checks.MAX_COMPANION_BYTES + 1, io.BytesIO(b"x"))
    assert [finding.code for finding in checks.run_quick(huge)] == ["companion_too_large"]


def test_a_text_with_zero_bytes_is_none() -> None:
    found = checks.run_quick(subject(b"PK\x03\x04\0\0", "notes.txt"))
    assert [finding.code for finding in found] == ["content_differs_from_name"]


def test_modules_that_do_nothing_are_named() -> None:
    header_end = 8 + int.from_bytes(LORA[:8], "little")
    silent = LORA[:header_end] + bytes(len(LORA) - header_end)
    codes = [finding.code for finding in checks.run_deep(subject(silent))]
    assert "modules_silent" in codes


def test_progress_is_told_in_bytes() -> None:
    told: list[tuple[int, int]] = []
    checks.run_deep(subject(LORA), progress=lambda done, total: told.append((done, total)))
    header_end = 8 + int.from_bytes(LORA[:8], "little")
    assert told[-1] == (len(LORA) - header_end, len(LORA) - header_end)
