"""What goes with a withdrawn version: its pictures, and those that were made with it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings as current
from django.utils import timezone

from previews import withdrawals
from previews.models import (
    Image,
    Layer,
    Recipe,
    Render,
    RenderKind,
    Sample,
    Sheet,
    Tryout,
)
from previews.renders.selectors import previews_of
from registry import sweep
from registry.adapters import services as adapters
from registry.models import Version
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.pages.pictures import DOCUMENT, render
from tests.stored import blob_of

if TYPE_CHECKING:
    from pytest_django import Settings

    from registry.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def picture(of: Render, data: bytes, position: int = 0) -> Image:
    """Give a render a picture that lies in the store."""
    blob = blob_of(data)
    return Image.objects.create(
        render=of, blob=blob, position=position, prompt_index=0, prompt="x", seed=1, strength=1.0,
        width=8, height=8,
    )  # fmt: skip


def sample_of(version: Version, user: User) -> Sample:
    blob = blob_of(b"a sample")
    return Sample.objects.create(
        version=version, author=user, state="ready", blob=blob, width=8, height=8
    )


def tried(user: User, version: Version, state: str) -> Render:
    recipe, _made = Recipe.objects.get_or_create(digest="1" * 64, defaults={"document": DOCUMENT})
    row = Render.objects.create(kind=RenderKind.TRYOUT, recipe=recipe, state=state)
    Layer.objects.create(render=row, position=0, version=version)
    ends = timezone.now() + timedelta(days=1)
    Tryout.objects.create(user=user, render=row, is_shared=True, expires_at=ends)
    return row


RESTORED = "version"


@pytest.fixture
def version(ada: User) -> Version:
    if there := Version.objects.first():
        return there
    adapter = adapters.create(actor=ada, name="noir")
    return catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"]))


@pytest.fixture
def other(ada: User) -> Version:
    adapter = adapters.create(actor=ada, name="other")
    return catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"], rank=8))


def test_everything_made_with_it_goes(
    ada: User, bob: User, version: Version, other: Version, settings: Settings
) -> None:
    kept = picture(render(other, "ready"), b"kept")
    mine = picture(render(version, "ready"), b"mine")
    Sheet.objects.create(render=mine.render, kind="png", blob=mine.blob)
    sample_of(version, ada)
    tryout, open_one = tried(bob, version, "ready"), tried(bob, version, "queued")
    picture(tryout, b"tried")
    withdraw.withdraw(actor=ada, version=version, reason="Copied.")
    assert list(Image.objects.all()) == [kept]
    assert not Sheet.objects.exists()
    assert not Sample.objects.exists()
    open_one.refresh_from_db()
    assert (open_one.state, open_one.reason) == ("failed", "This version was withdrawn.")
    settings.LORARY = dataclasses.replace(current.LORARY, grace_days=0)
    for _round in range(2):
        sweep.run()
    assert catalogue.stored() == {kept.blob.sha256, *(file.sha256 for file in other.files)}


def test_a_render_under_way_ends(ada: User, version: Version) -> None:
    row = render(version, "running")
    withdraw.withdraw(actor=ada, version=version, reason="Copied.")
    row.refresh_from_db()
    assert row.state == "failed"
    told = previews_of(version)
    assert (told.state, told.reason) == ("failed", "This version was withdrawn.")


def test_what_nobody_heard_of_goes_with_the_next_sweep(
    ada: User, bob: User, version: Version, other: Version
) -> None:
    """A process died after its commit, or a worker kept a picture at that very moment."""
    catalogue.put(Version.objects.filter(pk=version.pk), "withdrawn")
    picture(render(version, "ready"), b"late")
    picture(tried(bob, version, "ready"), b"tried")
    kept = picture(render(other, "ready"), b"kept")
    assert withdrawals.delete_missed() == 1
    assert list(Image.objects.all()) == [kept]
    assert withdrawals.delete_missed() == 0
    picture(Render.objects.get(version=version), b"later")
    sweep.run()
    assert list(Image.objects.all()) == [kept]
