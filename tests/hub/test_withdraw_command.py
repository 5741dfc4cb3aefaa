"""``manage.py withdraw``, for those who run the hub."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.adapters import services as adapters
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import User, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(ada: User, bob: User) -> Version:
    bob.is_staff = True
    bob.save()
    adapter = adapters.create(actor=ada, name="noir", visibility="private")
    return catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"]))


def run(*words: str) -> str:
    out = StringIO()
    call_command("withdraw", *words, stdout=out)
    return out.getvalue()


def test_it_reaches_private_versions(version: Version, bob: User) -> None:
    said = run("ADA/Noir@v1", "--reason", "Copied.", "--by", "BOB")
    assert said.startswith("ada/noir@v1 was withdrawn.")
    version.refresh_from_db()
    assert (version.state, version.withdrawn_by, version.is_takedown) == ("withdrawn", bob, True)


def test_it_takes_a_whole_adapter_down(version: Version) -> None:
    assert run("ada/noir", "--reason", "Copied.", "--by", "bob").startswith(
        "ada/noir was withdrawn"
    )
    version.adapter.refresh_from_db()
    assert version.adapter.withdrawn_reason == "Copied."


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("ada/noir", "--by", "ada"), "is not an administrator"),
        (("ada/noir", "--by", "nobody"), "is not an administrator"),
        (("ada/never", "--by", "bob"), "no adapter"),
        (("noir", "--by", "bob"), "no adapter"),
        (("ada/noir@v9", "--by", "bob"), "no version"),
        (("ada/noir@main", "--by", "bob"), "Use v1 here"),
    ],
)
def test_what_it_cannot_do_is_said(version: Version, words: tuple[str, ...], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        run(*words, "--reason", "Copied.")
    with pytest.raises(CommandError, match="Enter a reason"):
        run("ada/noir", "--by", "bob", "--reason", " ")
    version.refresh_from_db()
    assert version.state == "published"
