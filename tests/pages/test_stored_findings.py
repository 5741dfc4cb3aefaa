"""The publish form after the checks: it says what they found, not what the header promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.models import UploadState
from registry.uploads import services as uploads
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Upload, User

pytestmark = pytest.mark.django_db

SD1 = DENOISERS["sd1", "diffusers"]


def stated(upload: Upload, **changed: str) -> dict[str, str]:
    fields = {
        "upload": str(upload.public_id), "title": "Noir", "name": "noir", "kind": "style",
        "maturity": "general", "visibility": "public",
    }  # fmt: skip
    return fields | changed


def with_other_alpha() -> bytes:
    """A file whose metadata says alpha 4 while every tensor says 2."""
    return kohya(SD1, rank=4, alpha=2.0, metadata={"ss_network_alpha": "4", "ss_network_dim": "4"})


def with_a_password() -> bytes:
    """A file with a warning about its metadata."""
    return kohya(SD1, metadata={"note": "/home/ada/pictures/holiday"})


def checked(client: Client, *found: Upload) -> str:
    query = {"upload": [str(upload.public_id) for upload in found]}
    answer = client.get("/publish/checked", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def read(client: Client, data: bytes, name: str = "n.safetensors") -> Any:
    address = f"/publish/read?name={name}&size={len(data)}"
    head = data[: 8 + int.from_bytes(data[:8], "little")]
    return client.post(address, head, content_type="application/octet-stream")


def test_a_header_alone_is_not_called_clear(as_ada: Client) -> None:
    page = read(as_ada, kohya(SD1)).content.decode()
    assert "No findings" not in page
    assert "The whole file is checked when it has arrived." in page


def test_an_alpha_of_the_metadata_is_not_called_proven(as_ada: Client) -> None:
    page = read(as_ada, with_other_alpha()).content.decode()
    assert "alpha 4" in page
    assert "This alpha comes from the metadata" in page


def test_the_stored_alpha_replaces_that_of_the_metadata(as_ada: Client, ada: User) -> None:
    page = checked(as_ada, catalogue.accept(ada, with_other_alpha()))
    assert "LoRA, rank 4, alpha 2" in page
    assert "the file stores 2" in page
    assert "This alpha comes from the metadata" not in page


def test_a_checked_file_without_findings_is_clear(as_ada: Client, ada: User) -> None:
    assert "No findings" in checked(as_ada, catalogue.accept(ada, kohya(SD1)))


def test_what_the_checks_refused_stands_among_the_findings(as_ada: Client, ada: User) -> None:
    upload = catalogue.accept(ada, kohya(SD1, alpha=float("nan")))
    assert upload.state == UploadState.REFUSED
    page = checked(as_ada, upload)
    assert str(upload.findings.get(severity="error").message)[:20] in page
    assert "No findings" not in page


def test_findings_of_each_file_say_whose_they_are(as_ada: Client, ada: User) -> None:
    first = catalogue.accept(ada, kohya(SD1))
    other = catalogue.accept(ada, with_a_password(), "other.safetensors")
    page = checked(as_ada, first, other)
    assert "other.safetensors: " in page


def test_a_file_still_in_the_checks_is_not_called_clear(as_ada: Client, ada: User) -> None:
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=100)
    assert "No findings" not in checked(as_ada, upload)


def test_a_form_that_comes_back_has_the_stored_findings(as_ada: Client, ada: User) -> None:
    upload = catalogue.accept(ada, with_a_password())
    found = str(upload.findings.first().message)  # type: ignore[union-attr]
    answer = as_ada.post("/publish", stated(upload, name="a--b"))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert found[:20] in page
    assert "No findings" not in page


def test_a_form_that_comes_back_before_its_file_is_not_called_clear(as_ada: Client) -> None:
    page = as_ada.post("/publish", {"name": "noir"}).content.decode()
    assert "No findings" not in page


def test_anothers_upload_is_absent(as_ada: Client, bob: User) -> None:
    upload = catalogue.accept(bob, kohya(SD1))
    answer = as_ada.get("/publish/checked", {"upload": str(upload.public_id)})
    assert answer.status_code == 404
