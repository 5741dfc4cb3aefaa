"""One bad file for every check of an upload, and good ones that pass."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from lorary.safetensors import parse_header
from registry import storage
from registry.errors import UploadRefused
from registry.jobs import worker_process
from registry.models import HashKind, Job, Upload, UploadState, User
from registry.scan import checks
from registry.uploads import services as uploads
from tests import catalogue
from tests.builders.adapters import kohya
from tests.builders.weights import safetensors
from tests.registry.files import LORA, SD1, with_nan

if TYPE_CHECKING:
    from lorary.anatomy import Finding

pytestmark = pytest.mark.django_db(transaction=True)


def names() -> list[str]:
    return [entry.name for entry in storage.store().names()]


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
    worker_process.drain("checks")
    upload.refresh_from_db()
    assert upload.state == UploadState.REFUSED
    assert "numbers_not_finite" in [finding.code for finding in upload.findings.all()]
    assert names() == []


@pytest.mark.parametrize("path", ["run.sh", "noir", "zip", "noir.pt.txt2"])
def test_other_kinds_of_files_are_refused(ada: User, path: str) -> None:
    with pytest.raises(UploadRefused) as refusal:
        start(ada, b"data", path)
    assert refusal.value.findings[0].code == "file_type_unsupported"
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("path", "code"),
    [("noir.ckpt", "is_pickle"), ("a/noir.PT", "is_pickle"), ("noir.zip", "is_zip")],
)
def test_pickles_are_refused_by_name_with_what_to_do(ada: User, path: str, code: str) -> None:
    with pytest.raises(UploadRefused) as refusal:
        start(ada, b"data", path)
    found = refusal.value.findings[0]
    assert found.code == code
    assert "never accepted" in found.message
    assert f"Convert “{path}” to safetensors first" in found.message
    assert not Upload.objects.exists()


def test_a_text_too_large_is_refused_before_it_travels(ada: User) -> None:
    with pytest.raises(UploadRefused) as refusal:
        uploads.create(actor=ada, path="notes.txt", size_bytes=checks.MAX_COMPANION_BYTES + 1)
    assert refusal.value.findings[0].code == "companion_too_large"


@pytest.mark.parametrize("path", ["sample.png", "sample.gif", "sample.mp4", "sample.webm"])
def test_a_picture_that_is_none_is_refused(ada: User, path: str) -> None:
    upload = start(ada, b"<svg/>", path)
    with pytest.raises(UploadRefused) as refusal:
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(b"<svg/>"))
    assert refusal.value.findings[0].code == "content_differs_from_name"


def test_a_sound_adapter_passes_every_check() -> None:
    assert not checks.is_refused(checks.run_deep(subject(LORA)))


PATHS = [
    ("README.md", b"# Noir"),
    ("adapter_config.json", b"{}"),
    ("sample.png", b"\x89PNG\r\n\x1a\nrest"),
    ("sample.jpg", b"\xff\xd8\xffrest"),
    ("sample.gif", b"GIF89arest"),
    ("sample.mp4", b"\0\0\0\x18ftypmp42rest"),
    ("sample.webm", b"\x1aE\xdf\xa3rest"),
    ("sub.dir/LICENSE", b"MIT"),
    ("chat_template.jinja", b"{{ messages }}"),
    ("loss.jsonl", b"{}\n{}"),
]


def test_companions_that_are_what_they_say_pass(subtests: pytest.Subtests) -> None:
    for path, data in PATHS:
        with subtests.test(path=path, data=data):
            assert checks.run_deep(subject(data, path)) == []


def test_a_companion_is_small() -> None:
    huge = checks.Subject("notes.txt", checks.MAX_COMPANION_BYTES + 1, io.BytesIO(b"x"))
    assert [finding.code for finding in checks.run_quick(huge)] == ["companion_too_large"]


def test_a_text_with_zero_bytes_is_none() -> None:
    found = checks.run_quick(subject(b"PK\x03\x04\0\0", "notes.txt"))
    assert [finding.code for finding in found] == ["content_differs_from_name"]


def test_modules_that_do_nothing_are_named() -> None:
    header_end = 8 + int.from_bytes(LORA[:8], "little")
    row = parse_header(LORA).tensors[next(key for key in parse_header(LORA).tensors if "up" in key)]
    begin, end = header_end + row.begin, header_end + row.end
    silent = LORA[:begin] + bytes(end - begin) + LORA[end:]
    codes = [finding.code for finding in checks.run_deep(subject(silent))]
    assert "modules_silent" in codes
    found = checks.run_deep(subject(LORA[:header_end] + bytes(len(LORA) - header_end)))
    assert [one.code for one in found if one.severity == "error"] == ["changes_nothing"]


def hashed(**metadata: str) -> list[Finding]:
    found = checks.run_deep(subject(kohya(SD1, metadata=metadata)))
    return [finding for finding in found if finding.code == "hash_differs"]


DATA_SHA256 = hashlib.sha256(LORA[8 + int.from_bytes(LORA[:8], "little") :]).hexdigest()


def test_weights_have_hashes_and_files_beside_them_have_none() -> None:
    looked, beside = subject(LORA), subject(b"# Noir", "README.md")
    checks.run_deep(looked)
    assert set(looked.hashes) == {*HashKind.values} - {"autov1"}  # too short for that one
    assert looked.hashes["data_sha256"] == DATA_SHA256
    checks.run_deep(beside)
    assert beside.hashes == {}


def test_bytes_that_changed_after_they_arrived_are_refused() -> None:
    for data, path in [(LORA, "noir.safetensors"), (b"# Noir", "README.md")]:
        looked = checks.Subject(path, len(data), io.BytesIO(data), sha256="ab" * 32)
        (finding,) = [f for f in checks.run_deep(looked) if f.severity == "error"]
        assert finding.code == "stored_differs"
        assert finding.evidence["stored"] == hashlib.sha256(data).hexdigest()


def test_an_accepted_blob_keeps_its_hashes(ada: User) -> None:
    upload = catalogue.accept(ada, LORA)
    assert upload.blob is not None
    assert upload.blob.hashes["data_sha256"] == DATA_SHA256
    rows = dict(upload.blob.hash_rows.values_list("kind", "value"))
    assert rows == {**upload.blob.hashes, "sha256": upload.sha256}


def test_claimed_hashes_are_kept_apart_from_computed_ones(ada: User) -> None:
    claims = {"sshs_model_hash": "0x" + "AB" * 32, "sshs_legacy_hash": "01234567"}
    upload = catalogue.accept(ada, kohya(SD1, metadata=claims))
    assert upload.blob is not None
    assert upload.blob.claimed_hashes == {
        "sshs_model_hash": "ab" * 32,
        "sshs_legacy_hash": "01234567",
    }
    assert "ab" * 32 not in upload.blob.hash_rows.values_list("value", flat=True)


@pytest.mark.parametrize("key", ["sshs_model_hash", "modelspec.hash_sha256"])
def test_a_stale_hash_is_told_with_its_key(key: str) -> None:
    (finding,) = hashed(**{key: "0x" + "AB" * 32})
    assert (finding.severity, finding.evidence["claimed"]) == ("warning", ["ab" * 32])
    assert (finding.evidence["keys"], finding.evidence["computed"]) == ([key], DATA_SHA256)


FITTING = [
    {},
    {"sshs_model_hash": DATA_SHA256},
    {"modelspec.hash_sha256": "0x" + DATA_SHA256.upper()},
    {"sshs_model_hash": "ab" * 16},
    {"sshs_model_hash": "IsADirectory"},
    {"sshs_model_hash": hashlib.sha256().hexdigest()},
    {"modelspec.hash_sha256": "ab" * 32, "ot_branch": "master"},
]


def test_a_true_hash_and_what_is_none_are_no_finding(subtests: pytest.Subtests) -> None:
    for metadata in FITTING:
        with subtests.test(metadata=metadata):
            assert hashed(**metadata) == []


def with_header(header: str, data: bytes = b"") -> bytes:
    """Return a file of a header as it is written, sound or not."""
    raw = header.encode()
    return len(raw).to_bytes(8, "little") + raw + data


ENTRY = '{"a.lora_up.weight":{"dtype":"F16","shape":[%s],"data_offsets":[0,4]}}'


HOSTILE = [
    (safetensors({}), "not_an_adapter"),
    (with_header(ENTRY % "NaN", bytes(4)), "header_invalid_json"),
    (with_header(ENTRY % "2,Infinity", bytes(4)), "header_invalid_json"),
    (with_header(ENTRY % "-2", bytes(4)), "shape_invalid"),
    (with_header(ENTRY % "99999999999999999999", bytes(4)), "shape_invalid"),
    (with_header(ENTRY % "3", bytes(4)), "size_mismatch"),
    (with_header(ENTRY % "2", bytes(3)), "file_truncated"),
    (with_header(ENTRY % "2", bytes(5)), "trailing_bytes"),
    (safetensors({"a.lora_up.weight": ("F16", (0, 4))}), "tensor_empty"),
    (kohya(SD1, alpha=float("nan")), "numbers_not_finite"),
    (kohya(SD1, alpha=float("inf")), "numbers_not_finite"),
]


def test_hostile_files_are_refused_by_name(subtests: pytest.Subtests) -> None:
    for data, code in HOSTILE:
        with subtests.test(data=data, code=code):
            found = checks.run_deep(subject(data))
            assert code in [finding.code for finding in found if finding.severity == "error"]


@pytest.mark.parametrize("alpha", [0.0, -1.0, 60_000.0])
def test_an_alpha_that_cannot_be_meant_is_a_warning(alpha: float) -> None:
    found = {finding.code: finding for finding in checks.run_deep(subject(kohya(SD1, alpha=alpha)))}
    assert found["alpha_invalid"].severity == "warning"
    assert not checks.is_refused(found.values())
