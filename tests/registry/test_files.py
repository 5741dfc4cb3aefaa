"""The file behind an address: the short way says what the long way says, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.adapters import services as adapters
from registry.errors import LoraryError
from registry.models import Adapter, Visibility
from registry.publication import services as publication
from registry.versions import files, withdraw
from registry.versions import services as versions
from tests.builders.adapters import DENOISERS, kohya
from tests.catalogue import accept, release

if TYPE_CHECKING:
    from registry.models import User

LORA = kohya(DENOISERS["sd1", "diffusers"])
PATH = "noir.safetensors"

#: Owner, name, version and path that somebody may ask for.
ADDRESSES = (
    ("ada", "noir", "v1", PATH),
    ("Ada", "NOIR", "v1", PATH),
    ("ada", "noir", "v2", PATH),
    ("ada", "noir", "v3", PATH),
    ("ada", "noir", "v4", PATH),
    ("ada", "noir", "v9", PATH),
    ("ada", "noir", "v01", PATH),
    ("ada", "noir", "V1", PATH),
    ("ada", "noir", "latest", PATH),
    ("ada", "noir", "main", PATH),
    ("ada", "noir", "v1", "Noir.safetensors"),
    ("ada", "noir", "v1", ""),
    ("ada", "before", "v1", PATH),
    ("ada", "nothing", "v1", PATH),
    ("nobody", "noir", "v1", PATH),
    ("bob", "noir", "v1", PATH),
)

CHANGES: dict[str, dict[str, str]] = {
    "public": {},
    "unlisted": {"visibility": Visibility.UNLISTED},
    "private": {"visibility": Visibility.PRIVATE},
    "blocked": {"blocked_reason": "reported"},
}
pytestmark = pytest.mark.django_db
RESTORED = "noir"


@pytest.fixture
def noir(ada: User, bob: User) -> Adapter:
    """An adapter that was called otherwise before: v1 out, v2 yanked, v3 withdrawn, v4 a draft."""
    assert bob.pk
    if there := Adapter.objects.filter(name="noir").first():
        return there
    noir = adapters.create(actor=ada, name="before")
    for rank in (4, 5, 6):
        release(noir, kohya(DENOISERS["sd1", "diffusers"], rank=rank))
    upload = accept(ada, kohya(DENOISERS["sd1", "diffusers"], rank=7))
    publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    yanked, withdrawn = noir.versions.get(number=2), noir.versions.get(number=3)
    versions.yank(actor=ada, version=yanked, reason="wrong epoch")
    withdraw.withdraw(actor=ada, version=withdrawn, reason="not mine")
    adapters.rename(actor=ada, adapter=noir, name="noir")
    return noir


def told(user: User | AnonymousUser | None, address: tuple[str, str, str, str]) -> object:
    """Return what is served, or which refusal."""
    try:
        return files.get(user, *address)
    except LoraryError as error:
        return type(error), str(error.detail)


@pytest.mark.parametrize("change", CHANGES)
def test_both_ways_say_the_same(
    noir: Adapter, ada: User, bob: User, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if CHANGES[change]:
        Adapter.objects.filter(pk=noir.pk).update(**CHANGES[change])
    asked = [(who, address) for who in (None, AnonymousUser(), ada, bob) for address in ADDRESSES]
    short = [told(*one) for one in asked]
    monkeypatch.setattr(files, "_quick", lambda *_address: None)
    assert short == [told(*one) for one in asked]


def test_what_is_out_takes_one_question(noir: Adapter, ada: User) -> None:
    for user in (None, ada):
        for version in ("v1", "v2"):
            with CaptureQueriesContext(connection) as queries:
                assert files.get(user, "ada", "noir", version, PATH).is_primary
            assert len(queries) == 1
