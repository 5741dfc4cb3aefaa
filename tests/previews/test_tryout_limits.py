"""Try-outs: how many there may be, who may see them, and how far they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from previews import tasks
from previews.models import Image, RenderState, Tryout
from previews.renders import services as renders
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from registry import sweep
from registry.adapters import services as adapters
from registry.errors import Invalid, NotFound, RateLimited
from registry.jobs import queue, worker_process
from registry.models import Event, Job, Version, Worker
from tests import catalogue
from tests.previews.stacks import alone, finished, refusal, stack_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

    Own = Callable[..., None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def v1(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    return alone(publish(noir))


@pytest.fixture
def other(served: None, bob: User, publish: Callable[..., Version]) -> Version:
    adapter = adapters.create(actor=bob, name="ink", kind="style")
    return alone(publish(adapter, words=("ink wash",)))


# --- Quotas -------------------------------------------------------------------------------------


def test_only_so_many_are_open_at_once(
    ada: User, bob: User, v1: Version, own_settings: Own
) -> None:
    own_settings(tryouts_open=2)
    asked = [tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=seed)) for seed in (1, 2)]
    error = refusal(ada, stack_of((v1, 1.0)))
    assert isinstance(error, RateLimited)
    assert (error.facts["limit"], error.facts["retry_after"]) == (2, 10)
    tryouts.create(actor=bob, request=stack_of((v1, 1.0)))
    tryouts.remove(actor=ada, key=asked[0].key)
    tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    worker_process.drain("render.miniature")
    tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=3))


def test_one_whose_job_was_cancelled_by_the_operator_is_not_open(
    ada: User, v1: Version, own_settings: Own
) -> None:
    own_settings(tryouts_open=1)
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    assert asked.render.job is not None
    queue.cancel(asked.render.job.key)
    tryouts.create(actor=ada, request=stack_of((v1, 1.0)))


def test_only_so_many_are_asked_for_in_a_day_and_removing_is_no_way_around(
    ada: User, v1: Version, own_settings: Own
) -> None:
    own_settings(tryouts_per_day=2)
    for seed in (1, 2):
        tryouts.remove(
            actor=ada, key=tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=seed)).key
        )
    sweep.run()
    now = timezone.now()
    first, second = Tryout.objects.order_by("pk")
    for row, hours in ((first, 23), (second, 1)):
        Tryout.objects.filter(pk=row.pk).update(created_at=now - timedelta(hours=hours))
    error = refusal(ada, stack_of((v1, 1.0)))
    assert isinstance(error, RateLimited)
    assert error.facts["retry_after"] == pytest.approx(3600, abs=5)
    Tryout.objects.filter(pk=first.pk).update(created_at=now - timedelta(hours=25))
    tryouts.create(actor=ada, request=stack_of((v1, 1.0)))


# --- Who may see --------------------------------------------------------------------------------


def sees(viewer: User | AnonymousUser | None, tryout: Tryout) -> bool:
    """Whether the try-out and its pictures are there for somebody; both or neither are."""
    try:
        selectors.get(viewer, tryout.key)
    except NotFound:
        with pytest.raises(NotFound):
            selectors.require_visible(viewer, tryout, key=str(tryout.key))
        return False
    selectors.require_visible(viewer, tryout, key=str(tryout.key))
    return True


@pytest.fixture
def both(ada: User, v1: Version, other: Version) -> Tryout:
    return tryouts.create(actor=ada, request=stack_of((v1, 1.0), (other, 1.0)))


def test_only_the_asker_sees_one_until_it_is_shared(ada: User, bob: User, both: Tryout) -> None:
    assert [sees(who, both) for who in (ada, bob, None, AnonymousUser())] == [True, *[False] * 3]
    tryouts.set_shared(actor=ada, key=both.key, is_shared=True)
    assert all(sees(who, both) for who in (ada, bob, None, AnonymousUser()))
    tryouts.set_shared(actor=ada, key=both.key, is_shared=False)
    assert [sees(who, both) for who in (ada, bob, None)] == [True, False, False]
    assert not selectors.listing(bob)
    found = Event.objects.filter(verb__endswith="shared").order_by("pk")
    assert [(one.verb, one.subject) for one in found] == [
        ("tryout_shared", str(both.key)), ("tryout_unshared", str(both.key)),
    ]  # fmt: skip


def test_a_shared_one_is_hidden_from_those_who_may_not_see_one_of_its_adapters(
    ada: User, bob: User, both: Tryout, other: Version
) -> None:
    tryouts.set_shared(actor=ada, key=both.key, is_shared=True)
    other.adapter.visibility = "private"
    other.adapter.save()
    # bob owns the adapter, ada asked for the picture: only bob may see what is in it now
    assert [sees(who, both) for who in (ada, bob, None)] == [False, True, False]
    assert not selectors.listing(ada)
    tryouts.remove(actor=ada, key=both.key)
    assert not sees(bob, both)


@pytest.mark.parametrize("field", ["state", "blocked_reason"])
def test_withdrawing_or_blocking_a_version_hides_its_try_outs_from_everyone(
    ada: User, bob: User, both: Tryout, other: Version, field: str
) -> None:
    tryouts.set_shared(actor=ada, key=both.key, is_shared=True)
    if field == "state":
        catalogue.put(Version.objects.filter(pk=other.pk), "withdrawn")
    else:
        other.adapter.blocked_reason = "copied"
        other.adapter.save()
    assert [sees(who, both) for who in (ada, bob, None)] == [False] * 3


def test_a_withdrawn_version_is_not_rendered_any_more(both: Tryout, other: Version) -> None:
    catalogue.put(Version.objects.filter(pk=other.pk), "withdrawn")
    render = finished(both)
    assert (render.state, render.images.count()) == (RenderState.FAILED, 0)


# --- How far it is ------------------------------------------------------------------------------


def test_steps_are_told_while_it_is_rendered(
    ada: User, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "REPORT_S", 0.0)
    told: list[tuple[int, int]] = []
    progress = queue.JobRun.progress

    def listening(run: queue.JobRun, done: int, total: int) -> None:
        if run.job.key == key:
            told.append((done, total))
        progress(run, done, total)

    monkeypatch.setattr(queue.JobRun, "progress", listening)
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), steps=3, compares=True))
    key = f"render_version:{asked.render.pk}"
    finished(asked)
    assert told[0] == (0, 6)
    assert told[-1] == (6, 6)
    assert {done for done, _total in told} == {0, 1, 2, 3, 4, 5, 6}
    assert [done for done, _total in told] == sorted(done for done, _total in told)
    shown = selectors.shown(selectors.get(ada, asked.key))
    assert (shown.done, shown.total, shown.place, shown.is_open) == (6, 6, None, False)


def test_the_place_in_the_queue_counts_what_goes_first(ada: User, bob: User, v1: Version) -> None:
    first = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    second = tryouts.create(actor=bob, request=stack_of((v1, 1.0), steps=4))
    places = [selectors.shown(selectors.get(who, one.key)).place for who, one in
              ((ada, first), (bob, second))]  # fmt: skip
    assert [place.ahead for place in places if place] == [0, 1]
    assert [place.left_s for place in places if place] == [None, None]  # nobody is at work


def test_seconds_left_are_those_that_others_took(ada: User, bob: User, v1: Version) -> None:
    finished(tryouts.create(actor=bob, request=stack_of((v1, 1.0))))
    now = timezone.now()
    Job.objects.update(started_at=now - timedelta(seconds=42), finished_at=now)
    Worker.objects.create(name="box:1", queues=["render.miniature"], seen_at=now)
    tryouts.create(actor=bob, request=stack_of((v1, 1.0), seed=9))
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), steps=4))
    place = selectors.shown(selectors.get(ada, asked.key)).place
    assert place is not None
    # two steps took 42 s, two and four are left
    assert (place.ahead, place.workers, place.left_s) == (1, 1, 126)


def test_previews_that_give_way_take_no_longer_than_a_picture(ada: User, v1: Version) -> None:
    finished(tryouts.create(actor=ada, request=stack_of((v1, 1.0))))
    now = timezone.now()
    Job.objects.update(started_at=now - timedelta(seconds=42), finished_at=now)
    Worker.objects.create(name="box:1", queues=["render.miniature"], seen_at=now)
    renders.begin(version=v1)
    assert queue.claim("render.miniature") is not None
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=9))
    place = selectors.shown(selectors.get(ada, asked.key)).place
    assert place is not None
    assert (place.ahead, place.left_s) == (1, 84)  # two steps of each


def test_pictures_that_are_there_take_no_more_time(ada: User, v1: Version) -> None:
    finished(tryouts.create(actor=ada, request=stack_of((v1, 1.0))))
    now = timezone.now()
    Job.objects.update(started_at=now - timedelta(seconds=42), finished_at=now)
    Worker.objects.create(name="box:1", queues=["render.miniature"], seen_at=now)
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=9, steps=4, compares=True))
    there = Image.objects.get()
    there.pk, there.render = None, asked.render
    there.save()
    place = selectors.shown(selectors.get(ada, asked.key)).place
    assert place is not None
    assert place.left_s == 84  # two steps took 42 s, four of eight are left


def test_pictures_that_were_taken_over_tell_nothing_of_the_pace(ada: User, v1: Version) -> None:
    finished(tryouts.create(actor=ada, request=stack_of((v1, 1.0))))
    now = timezone.now()
    Job.objects.update(started_at=now - timedelta(seconds=1), finished_at=now)
    Image.objects.update(created_at=now - timedelta(seconds=9))
    Worker.objects.create(name="box:1", queues=["render.miniature"], seen_at=now)
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=9))
    place = selectors.shown(selectors.get(ada, asked.key)).place
    assert place is not None
    assert place.left_s is None


# --- Groups -------------------------------------------------------------------------------------


def test_a_group_has_one_seed_and_is_shared_and_removed_together(
    ada: User, bob: User, v1: Version
) -> None:
    asked = [stack_of((v1, strength), seed=None) for strength in (0.4, 0.8)]
    first = tryouts.create_group(actor=ada, requests=asked, mix="layer=x")
    group = selectors.get_group(ada, first.key)
    assert [one.first_id for one in group] == [None, first.pk]
    assert [one.mix for one in group] == ["layer=x", ""]
    assert len({one.render.recipe and one.render.recipe.digest for one in group}) == 1
    assert selectors.get_group(ada, group[1].key) == group
    for shared in (True, False):
        tryouts.set_shared(actor=ada, key=first.key, is_shared=shared)
        assert {one.is_shared for one in selectors.get_group(ada, first.key)} == {shared}
    with pytest.raises(NotFound):
        selectors.get_group(bob, first.key)
    tryouts.remove(actor=ada, key=group[1].key)
    assert not selectors.listing(ada)
    with pytest.raises(NotFound):
        selectors.get_group(ada, first.key)


def test_a_group_is_seen_as_a_whole_or_not_at_all(
    ada: User, bob: User, v1: Version, other: Version
) -> None:
    asked = [stack_of((v1, 1.0)), stack_of((other, 1.0))]
    first = tryouts.create_group(actor=ada, requests=asked)
    assert len(selectors.get_group(ada, first.key)) == 2
    adapters.describe(actor=bob, adapter=other.adapter, visibility="private")
    with pytest.raises(NotFound):
        selectors.get_group(ada, first.key)


def test_a_group_is_open_once_and_counts_fully_for_the_day(
    ada: User, v1: Version, own_settings: Own
) -> None:
    own_settings(tryouts_open=2, tryouts_per_day=5)
    three = [stack_of((v1, strength)) for strength in (0.2, 0.4, 0.6)]
    tryouts.create_group(actor=ada, requests=three)
    with pytest.raises(RateLimited) as caught:
        tryouts.create_group(actor=ada, requests=three)
    assert caught.value.facts["limit"] == 5
    tryouts.create_group(actor=ada, requests=three[:2])
    assert refusal(ada, stack_of((v1, 1.0))).facts["limit"] == 2  # of open ones
    with pytest.raises(Invalid, match="6 pictures"):
        tryouts.create_group(actor=ada, requests=[*three, *three])
