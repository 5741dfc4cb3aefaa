"""Which picture is the cover of an adapter, and its owner's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction

from previews.covers import services as covers
from previews.covers.selectors import covers_of
from previews.models import Cover, Image
from previews.pictures.selectors import Picture
from registry.adapters import services as adapters
from registry.errors import Forbidden, Invalid
from registry.models import Event, Version
from registry.versions import services as versions
from registry.versions import withdraw
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.pages.pictures import render, sample_of
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db
RESTORED = "v1"


@pytest.fixture
def v1(noir: Adapter) -> Version:
    there = noir.versions.first()
    return there or catalogue.release(noir, kohya(DENOISERS["sd1", "diffusers"], rank=4))


@pytest.fixture
def v2(noir: Adapter, v1: Version) -> Version:
    version = catalogue.release(noir, kohya(DENOISERS["sd1", "diffusers"], rank=8))
    noir.refresh_from_db()
    return version


def cover_of(adapter: Adapter) -> Picture | None:
    adapter.refresh_from_db()
    return covers_of([adapter])[adapter.pk]


def shown(adapter: Adapter) -> tuple[bool, int] | None:
    """Return whether the cover was uploaded, and its id."""
    found = cover_of(adapter)
    return (found.is_uploaded, found.id) if found else None


def test_the_first_upload_is_the_cover_until_something_is_rendered(
    noir: Adapter, v1: Version
) -> None:
    assert shown(noir) is None
    first, _second = sample_of(v1), sample_of(v1)
    assert shown(noir) == (True, first.pk)
    image = render(v1, "ready", 5).images.get(strength=1)
    assert shown(noir) == (False, image.pk)


def test_an_upload_of_an_earlier_version_is_better_than_none(
    noir: Adapter, v1: Version, v2: Version
) -> None:
    old = sample_of(v1)
    assert shown(noir) == (True, old.pk)
    new = sample_of(v2)
    assert shown(noir) == (True, new.pk)


@pytest.mark.parametrize("state", ["queued", "refused"])
def test_unread_and_refused_uploads_are_no_covers(noir: Adapter, v1: Version, state: str) -> None:
    sample_of(v1, state=state, blob=None, reason="Damaged")
    assert shown(noir) is None


def test_a_cover_without_bytes_is_not_shown(noir: Adapter, v1: Version) -> None:
    lost = sample_of(v1)
    covers.choose(actor=noir.namespace.user, adapter=noir, sample=lost.pk)  # type: ignore[arg-type]
    lost.blob.is_stored = False  # type: ignore[union-attr]
    lost.blob.save()  # type: ignore[union-attr]
    assert shown(noir) is None
    whole = sample_of(v1)
    assert shown(noir) == (True, whole.pk)


def test_a_video_is_shown_by_its_poster(noir: Adapter, v1: Version) -> None:
    poster = blob_of(b"poster")
    film = sample_of(v1, kind="video", poster=poster)
    type(film).objects.update(width=300)
    found = cover_of(noir)
    assert found is not None
    assert found.url == f"/media/samples/{film.pk}.webp"
    assert [(one.width, one.url) for one in found.sources] == [
        (256, f"/media/samples/{film.pk}-256.avif"), (256, f"/media/samples/{film.pk}-256.webp"),
        (300, found.url),
    ]  # fmt: skip


def test_pictures_of_drafts_and_yanked_versions_are_no_covers(
    ada: User, noir: Adapter, v1: Version, v2: Version
) -> None:
    old, new = sample_of(v1), sample_of(v2)
    covers.choose(actor=ada, adapter=noir, sample=new.pk)
    versions.yank(actor=ada, version=v2, reason="Broken")
    assert shown(noir) == (True, old.pk)
    versions.restore(actor=ada, version=v2)
    assert shown(noir) == (True, new.pk)


def test_a_choice_replaces_the_rule_and_ends_with_its_picture(
    ada: User, noir: Adapter, v1: Version
) -> None:
    images = {one.strength: one for one in render(v1, "ready", 5).images.all()}
    sample = sample_of(v1)
    covers.choose(actor=ada, adapter=noir, sample=sample.pk)
    assert shown(noir) == (True, sample.pk)
    covers.choose(actor=ada, adapter=noir, image=images[0.5].pk)
    assert shown(noir) == (False, images[0.5].pk)
    Image.objects.filter(pk=images[0.5].pk).delete()
    assert not Cover.objects.exists()
    assert shown(noir) == (False, images[1].pk)


def test_the_choice_can_be_undone(ada: User, noir: Adapter, v1: Version) -> None:
    first, second = sample_of(v1), sample_of(v1)
    covers.choose(actor=ada, adapter=noir, sample=second.pk)
    covers.choose_automatically(actor=ada, adapter=noir)
    covers.choose_automatically(actor=ada, adapter=noir)
    assert shown(noir) == (True, first.pk)
    verbs = Event.objects.filter(verb__startswith="cover").order_by("pk")
    assert list(verbs.values_list("verb", flat=True)) == ["cover_chosen", "cover_automatic"]


def test_only_the_owner_chooses(bob: User, noir: Adapter, v1: Version) -> None:
    sample = sample_of(v1)
    with pytest.raises(Forbidden):
        covers.choose(actor=bob, adapter=noir, sample=sample.pk)
    with pytest.raises(Forbidden):
        covers.choose_automatically(actor=bob, adapter=noir)


def test_a_choice_must_be_a_finished_picture_of_the_adapter(
    ada: User, noir: Adapter, v1: Version, release_other: Callable[[], Version]
) -> None:
    control = render(v1, "ready", 5).images.get(strength=0)
    other, waiting = sample_of(release_other()), sample_of(v1, state="queued")
    for choice in (
        {"sample": other.pk}, {"image": 0}, {"image": control.pk}, {"sample": waiting.pk}, {},
        {"image": 1, "sample": 1},
    ):  # fmt: skip
        with pytest.raises(Invalid):
            covers.choose(actor=ada, adapter=noir, **choice)
    assert not Cover.objects.exists()


@pytest.fixture
def release_other(noir: Adapter) -> Callable[[], Version]:
    """Publish another adapter of the same owner."""

    def release_other() -> Version:
        owner = noir.namespace.user
        assert owner is not None
        other = adapters.create(actor=owner, name="other")
        return catalogue.release(other, kohya(DENOISERS["sd1", "diffusers"], rank=2))

    return release_other


def test_many_covers_take_as_many_queries_as_one(
    ada: User,
    noir: Adapter,
    v1: Version,
    release_other: Callable[[], Version],
    django_assert_max_num_queries: Any,
) -> None:
    other = release_other().adapter
    other.refresh_from_db()
    noir.refresh_from_db()
    sample_of(v1)
    covers.choose(actor=ada, adapter=noir, image=render(v1, "ready", 5).images.get(strength=1).pk)
    with django_assert_max_num_queries(5):
        found = covers_of([noir, other])
    assert [one.is_uploaded if one else None for one in found.values()] == [False, None]


def test_a_cover_is_one_picture(noir: Adapter) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Cover.objects.create(adapter=noir)


def test_a_withdrawn_version_takes_its_cover_along(
    ada: User, noir: Adapter, v1: Version, v2: Version
) -> None:
    sample = sample_of(v2)
    covers.choose(actor=ada, adapter=noir, sample=sample.pk)
    withdraw.withdraw(actor=ada, version=v2, reason="Copied")
    assert shown(noir) is None
