"""Your uploads: the list, going on, publishing later, cancelling."""

from __future__ import annotations

import html
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.accounts import quotas
from registry.models import Blob, Upload, UploadState, Version
from registry.uploads import services as uploads
from registry.versions import withdraw
from tests import catalogue
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

NAN = "tensor_nan"


def text_of(client: Client, address: str = "/uploads") -> str:
    return html.unescape(" ".join(client.get(address).content.decode().split()))


def begin(
    user: User, path: str = "noir.safetensors", *, parts: int = 0, size: int = 5000
) -> Upload:
    """Begin an upload in parts of 1,000 bytes, of which some are there."""
    upload = uploads.create(actor=user, path=path, size_bytes=size)
    Upload.objects.filter(pk=upload.pk).update(part_bytes=1000)
    upload.refresh_from_db()
    for number in range(1, parts + 1):
        body = io.BytesIO(bytes(1000))
        uploads.receive_part(actor=user, upload=upload, number=number, stream=body)
    return upload


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/uploads").headers["Location"] == "/signin?next=/uploads"


def test_the_empty_list_says_what_will_be_there_and_what_may_be_sent(as_ada: Client) -> None:
    page = text_of(as_ada)
    assert "No uploads yet" in page
    assert "up to 8.6 GB, sent in parts of 16.8 MB" in page
    assert "at most 200" in page
    assert "7 days" in page
    assert "of 50 GB used" in page


def test_the_room_that_is_left_is_told(as_ada: Client, ada: User) -> None:
    ada.namespace.quota_bytes, ada.namespace.used_bytes = 10**9, 250 * 10**6
    ada.namespace.save()
    assert "250 MB of 1 GB used" in text_of(as_ada)
    ada.namespace.quota_bytes = quotas.NO_LIMIT
    ada.namespace.save()
    assert "<dt>Storage</dt><dd>unlimited</dd>" in text_of(as_ada)


def test_an_open_upload_says_what_is_here_until_when_and_where_it_goes_on(
    as_ada: Client, ada: User
) -> None:
    upload = begin(ada, parts=3)
    page = text_of(as_ada)
    assert "3 kB of 5 kB received. Kept until" in page
    assert 'value="60"' in page
    assert f'href="/publish?upload={upload.public_id}"' in page
    assert f'href="/uploads/{upload.public_id}/cancel"' in page
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    page = text_of(as_ada)
    assert "was not finished by" in page
    assert "Start a new upload" in page
    assert f'href="/publish?upload={upload.public_id}"' not in page


def test_the_publish_page_names_uploads_that_are_not_published(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    catalogue.accept(ada, lora(), "noir.safetensors")
    assert "data-waiting" not in as_ada.get("/publish").content.decode()
    catalogue.accept(ada, lora(8), "ink.safetensors")
    uploads.create(actor=ada, path="glass.safetensors", size_bytes=99999)
    page = as_ada.get("/publish").content.decode()
    assert "2 uploads are not published yet." in page
    assert 'data-waiting><p class="grow">' in page


def test_an_accepted_upload_can_be_published_later(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    upload = sent(ada)
    assert "Checked and not published. Kept until" in text_of(as_ada)
    page = text_of(as_ada, f"/publish?upload={upload.public_id}")
    assert "Proven by shape: Stable Diffusion 1" in page
    assert f'name="upload" value="{upload.public_id}"' in page
    said = {
        "upload": str(upload.public_id), "title": "Noir", "name": "noir", "kind": "style",
        "maturity": "general", "visibility": "public",
    }  # fmt: skip
    assert as_ada.post("/publish", said).headers["Location"] == "/ada/noir"
    page = text_of(as_ada)
    assert "It is part of ada/noir v1." in page
    assert 'href="/ada/noir?v=v1"' in page
    assert f"/uploads/{upload.public_id}/cancel" not in page
    withdraw.withdraw(actor=ada, version=Version.objects.get(), reason="Rights")
    page = text_of(as_ada)
    assert "It was part of ada/noir v1, which was withdrawn." in page
    assert "cancelled" not in page


def test_files_that_belong_together_become_one_version(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    notes = catalogue.accept(ada, b"# Noir", "notes.md")
    ids = [str(sent(ada).public_id), str(notes.public_id)]
    said = {"name": "noir", "kind": "style", "maturity": "general", "visibility": "public"}
    assert as_ada.post("/publish", {**said, "upload": ids}).headers["Location"] == "/ada/noir"
    files = Version.objects.get().revision.files.values_list("path", flat=True)
    assert sorted(files) == ["noir.safetensors", "notes.md"]


def test_a_form_that_comes_back_keeps_every_file(
    as_ada: Client, ada: User, bob: User, sent: Callable[..., Upload]
) -> None:
    ids = [str(sent(ada).public_id), str(sent(bob).public_id)]
    said = {"name": "noir", "kind": "style", "maturity": "general", "visibility": "public"}
    answer = as_ada.post("/publish", {**said, "upload": ids})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert all(f'name="upload" value="{number}"' in page for number in ids)
    assert "You have no such upload" in page
    assert not Version.objects.exists()


def test_an_open_upload_opens_the_page_that_goes_on(as_ada: Client, ada: User) -> None:
    upload = begin(ada, parts=2)
    page = text_of(as_ada, f"/publish?upload={upload.public_id}")
    assert f'data-resume="/api/v1/uploads/{upload.public_id}"' in page
    assert "2 kB of 5 kB received" in page
    assert "Drop the same file here" in page


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("expired", "was not finished by"),
        ("cancelled", "its data was deleted"),
        ("refused", "was refused"),
    ],
)
def test_an_upload_that_is_over_says_what_to_do(
    as_ada: Client, ada: User, state: str, said: str
) -> None:
    upload = begin(ada)
    Upload.objects.update(state=state)
    for address in ("/uploads", f"/publish?upload={upload.public_id}"):
        page = text_of(as_ada, address)
        assert said in page
        assert "data-resume=" not in page
        assert f"/uploads/{upload.public_id}/cancel" not in page


def test_what_the_checks_found_is_shown(as_ada: Client, ada: User) -> None:
    upload = begin(ada)
    Upload.objects.update(state=UploadState.REFUSED)
    upload.findings.create(code=NAN, severity="error", message="A tensor holds NaN.")
    page = text_of(as_ada)
    assert "1 finding" in page
    assert "A tensor holds NaN." in page
    assert f'href="/help/findings#{NAN}"' in page


def test_bytes_that_the_sweeper_took_are_told(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    sent(ada)
    Blob.objects.update(is_stored=False)
    page = text_of(as_ada)
    assert "It was not published in time" in page
    assert "/publish?upload=" not in page


def test_cancelling_asks_once_more_and_works_without_a_script(as_ada: Client, ada: User) -> None:
    upload = begin(ada, parts=1)
    place = f"/uploads/{upload.public_id}/cancel"
    assert "Cancel this upload?" in text_of(as_ada, place)
    upload.refresh_from_db()
    assert upload.state == UploadState.RECEIVING
    answer = as_ada.post(place, follow=True)
    assert "“noir.safetensors” is cancelled." in answer.content.decode()
    upload.refresh_from_db()
    assert upload.state == UploadState.CANCELLED
    assert "Nothing to cancel" in text_of(as_ada, place)
    assert as_ada.post(place).status_code == 302


def test_nobody_sees_or_cancels_anothers(as_ada: Client, bob: User) -> None:
    upload = begin(bob)
    place = f"/uploads/{upload.public_id}/cancel"
    assert as_ada.get(place).status_code == as_ada.post(place).status_code == 404
    assert as_ada.get(f"/publish?upload={upload.public_id}").status_code == 404
    assert str(upload.public_id) not in text_of(as_ada)
    assert found(as_ada, "noir.safetensors", 5000) == []
    upload.refresh_from_db()
    assert upload.state == UploadState.RECEIVING


def test_a_published_upload_is_not_cancelled(as_ada: Client, ada: User, noir: Adapter) -> None:
    answer = as_ada.post(f"/uploads/{Upload.objects.get().public_id}/cancel")
    assert answer.status_code == 409
    assert "A version already contains this file" in answer.content.decode()


def test_a_long_list_comes_page_by_page_in_few_queries(
    as_ada: Client, ada: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(25):
        begin(ada, f"n{number}.safetensors")
    with django_assert_max_num_queries(10):
        first = text_of(as_ada)
    assert first.count("<li id=") == 20
    older = first.partition('rel="next" href="')[2].partition('"')[0]
    second = text_of(as_ada, older)
    assert second.count("<li id=") == 5
    assert "First page" in second
    assert as_ada.get("/uploads?before=x").status_code == 400


def found(client: Client, name: str, size: object) -> Any:
    return client.get("/uploads/begun", {"name": name, "size": str(size)}).json()["uploads"]


def test_a_browser_finds_what_it_may_go_on_with(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    old, new = begin(ada), begin(ada)
    other = begin(ada, size=4999)
    accepted = sent(ada, "kept.safetensors")
    assert found(as_ada, "noir.safetensors", 5000) == [
        f"/api/v1/uploads/{one.public_id}" for one in (new, old)
    ]
    assert found(as_ada, "kept.safetensors", len(lora())) == [
        f"/api/v1/uploads/{accepted.public_id}"
    ]
    uploads.cancel(actor=ada, upload=other)
    for name, size in (("noir.safetensors", 4999), ("../x", 5000), ("a\0", 1), ("x", "-1")):
        assert found(as_ada, name, size) == []


def test_every_page_of_a_person_leads_there(as_ada: Client) -> None:
    assert 'href="/uploads"' in text_of(as_ada, "/publish")
    assert ">Your uploads<" in text_of(as_ada, "/browse")
