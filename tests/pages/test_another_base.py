"""A new version whose base model is another than that of the version before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.pages.files import lora

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

FLUX = kohya(DENOISERS["flux1", "diffusers"], alpha=None)
WARNING = "ada/noir has been for Stable Diffusion 1"


def read(client: Client, data: bytes, to: str = "ada/noir") -> Any:
    address = f"/publish/read?name=n.safetensors&size={len(data)}&to={to}"
    return client.post(address, data, content_type="application/octet-stream")


def test_the_form_warns_of_another_base(as_ada: Client, noir: Adapter) -> None:
    page = read(as_ada, FLUX).content.decode()
    assert WARNING in page
    assert "FLUX.1" in page


def test_the_same_base_is_no_matter(as_ada: Client, noir: Adapter) -> None:
    assert "So far" not in read(as_ada, lora(8)).content.decode()


def test_a_new_adapter_is_not_compared(as_ada: Client, noir: Adapter) -> None:
    assert "So far" not in read(as_ada, FLUX, to="").content.decode()


def test_a_form_that_is_opened_or_comes_back_warns_too(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    upload = catalogue.accept(ada, FLUX)
    page = as_ada.get("/publish", {"upload": str(upload.public_id), "to": "ada/noir"})
    assert WARNING in page.content.decode()
    said = {"to": "ada/noir", "upload": str(upload.public_id), "strength": "99"}
    page = as_ada.post("/publish", said)
    assert page.status_code == 400
    assert WARNING in page.content.decode()


@pytest.mark.parametrize(("possible", "is_warned"), [("flux1", True), ("sd1", False), ("", False)])
def test_the_note_on_a_name_of_ones_own_warns(
    as_ada: Client, noir: Adapter, possible: str, *, is_warned: bool
) -> None:
    note = as_ada.get("/publish/name", {"name": "noir", "possible": possible}).content.decode()
    assert "new version after v1" in note
    assert (WARNING in note) == is_warned


def test_the_form_sends_what_the_note_needs(as_ada: Client) -> None:
    page = read(as_ada, FLUX, to="").content.decode()
    assert 'name="possible"' in page
    assert 'data-hx-include="closest .row"' in page
