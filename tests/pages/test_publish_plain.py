"""Publishing one file without JavaScript: a form with the file, then the filled form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import Client

from hub.http import limits
from registry.accounts import quotas
from registry.models import Adapter, Namespace, Upload, UploadState
from registry.uploads import check
from registry.uploads import services as uploads
from tests.builders.adapters import DENOISERS, kohya
from tests.pages.files import lora
from tests.pages.forms import fields_of

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db


def send(client: Client, data: bytes, name: str = "noir.safetensors", **fields: str) -> Any:
    file = SimpleUploadedFile(name, data)
    return client.post("/publish/send", {"file": file} | fields)


def test_one_file_is_sent_checked_and_published(as_ada: Client, ada: User) -> None:
    answer = send(as_ada, lora())
    upload = Upload.objects.get()
    address = f"/publish?upload={upload.public_id}"
    assert (answer.status_code, answer.headers["Location"]) == (302, address)
    page = as_ada.get(address).content.decode()
    assert "is being checked" in page
    assert '<meta http-equiv="refresh" content="2">' in page
    check.run_checks(upload=upload)
    page = as_ada.get(address).content.decode()
    assert "refresh" not in page
    assert as_ada.post("/publish", fields_of(page)).headers["Location"] == "/ada/noir"
    assert Adapter.objects.get().latest_version is not None


def test_the_page_has_the_form_and_says_its_limit(as_ada: Client) -> None:
    plain = as_ada.get("/publish").content.decode().partition("<noscript>")[2]
    plain = plain.partition("</noscript>")[0]
    assert 'enctype="multipart/form-data" action="/publish/send"' in plain
    assert 'type="file" name="file" accept=".safetensors"' in plain
    assert "of up to 268 MB" in plain
    assert "lorary push FILE.safetensors --to ada/NAME" in plain


def test_a_file_for_a_version_leads_to_its_form(as_ada: Client, noir: Adapter) -> None:
    assert 'name="to" value="ada/noir"' in as_ada.get("/publish?to=ada/noir").content.decode()
    answer = send(as_ada, lora(8), to="ada/noir")
    upload = Upload.objects.latest("pk")
    check.run_checks(upload=upload)
    page = as_ada.get(answer.headers["Location"]).content.decode()
    assert "This becomes version 2 of <b>Noir</b>" in page
    assert as_ada.post("/publish", fields_of(page)).headers["Location"] == "/ada/noir"
    assert noir.versions.count() == 2


@pytest.mark.parametrize("name", ["noir.pt", "notes.txt", "noir.safetensors.zip"])
def test_only_adapter_files_are_taken(as_ada: Client, name: str) -> None:
    answer = send(as_ada, lora(), name)
    assert answer.status_code == 400
    assert "Choose a .safetensors file." in answer.content.decode()
    assert not Upload.objects.exists()


def test_without_a_file_it_says_so(as_ada: Client) -> None:
    answer = as_ada.post("/publish/send", {})
    assert answer.status_code == 400
    assert "Choose a .safetensors file." in answer.content.decode()


def test_a_refused_file_shows_why(as_ada: Client) -> None:
    answer = send(as_ada, b"\x80\x04\x95" + bytes(99))
    page = as_ada.get(answer.headers["Location"]).content.decode()
    assert Upload.objects.get().state == UploadState.REFUSED
    assert 'href="/help/findings#is_pickle"' in page


def test_what_does_not_fit_the_quota_is_refused(as_ada: Client, ada: User) -> None:
    Namespace.objects.filter(user=ada).update(quota_bytes=1)
    answer = send(as_ada, lora())
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert quotas.used_by(ada.namespace) == 0
    assert not Upload.objects.exists()


def test_a_large_file_waits_on_the_disk_and_not_in_memory(
    as_ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, receive = [], uploads.receive

    def noted(**given: Any) -> Upload:
        taken.append(given["stream"])
        return receive(**given)

    monkeypatch.setattr(uploads, "receive", noted)
    data = kohya(DENOISERS["sd1", "diffusers"], rank=96)
    assert len(data) > 2 * 1024 * 1024
    assert send(as_ada, data).status_code == 302
    assert isinstance(taken[0], TemporaryUploadedFile)


def test_a_form_over_the_limit_is_refused_before_it_is_read(
    as_ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_FORM_BYTES", 1000)
    answer = send(as_ada, lora())
    assert answer.status_code == 400
    assert "Larger adapters are sent in parts" in answer.content.decode()
    assert not Upload.objects.exists()


def test_strangers_and_other_sites_are_turned_away(client: Client, ada: User) -> None:
    assert send(client, lora()).headers["Location"].startswith("/signin")
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(ada)
    assert send(careful, lora()).status_code == 403
    assert not Upload.objects.exists()
