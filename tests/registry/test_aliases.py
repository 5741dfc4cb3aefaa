"""Names that move from version to version, and where they were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.errors import (
    Conflict,
    Forbidden,
    Gone,
    NameInvalid,
    NameTaken,
    NotFound,
    QuotaExceeded,
    StateConflict,
)
from registry.models import Adapter, AliasMove, Event, Revision, Upload, User, Version
from registry.publication import services as publication
from registry.versions import revisions, withdraw
from registry.versions import selectors as version_selectors
from tests.registry.files import LORA, OTHER

pytestmark = pytest.mark.django_db

Release = Callable[..., Version]
Send = Callable[..., Upload]
RESTORED = "first"


@pytest.fixture
def first(ada: User, noir: Adapter, release: Release) -> Version:
    return noir.versions.first() or release(ada, noir, LORA)


@pytest.fixture
def second(ada: User, noir: Adapter, release: Release, first: Version) -> Version:
    return release(ada, noir, OTHER)


def moves(adapter: Adapter, name: str) -> list[tuple[str, str]]:
    """From where to where, the oldest first."""

    def told(revision: Revision | None) -> str:
        return str(revision.versions.first() or "root").partition("@")[2] if revision else ""

    return [
        (told(move.before), told(move.revision))
        for move in reversed(alias_selectors.history(adapter, name))
    ]


def test_an_alias_names_a_version_until_it_is_moved(
    ada: User, noir: Adapter, first: Version, second: Version
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    assert version_selectors.get(None, noir, "stable") == first
    aliases.point(actor=ada, adapter=noir, name="stable", to=second.revision)
    assert version_selectors.get(None, noir, "stable") == second
    assert moves(noir, "stable") == [("", "v1"), ("v1", "v2")]
    assert {move.actor for move in AliasMove.objects.filter(alias__name="stable")} == {ada}
    events = Event.objects.filter(verb="alias_moved").order_by("pk")
    assert [(event.subject, event.facts) for event in events] == [
        ("stable", {"before": None, "revision": first.revision.commit}),
        ("stable", {"before": first.revision.commit, "revision": second.revision.commit}),
    ]


def test_pointing_where_it_points_writes_nothing(ada: User, noir: Adapter, first: Version) -> None:
    for _again in range(2):
        aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    assert moves(noir, "stable") == [("", "v1")]
    assert Event.objects.filter(verb="alias_moved").count() == 1


def test_a_removed_alias_keeps_its_history_and_can_come_back(
    ada: User, noir: Adapter, first: Version, second: Version
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    aliases.remove(actor=ada, adapter=noir, name="stable")
    with pytest.raises(NotFound):
        version_selectors.get(None, noir, "stable")
    with pytest.raises(NotFound):
        aliases.remove(actor=ada, adapter=noir, name="stable")
    assert [alias.name for alias in alias_selectors.listing(noir)] == ["main"]
    aliases.point(actor=ada, adapter=noir, name="stable", to=second.revision)
    assert moves(noir, "stable") == [("", "v1"), ("v1", ""), ("", "v2")]
    assert Event.objects.filter(verb="alias_removed").count() == 1


def test_what_publishing_moves_has_a_history_too(noir: Adapter, second: Version) -> None:
    assert moves(noir, "main") == [("", ""), ("", "v1"), ("v1", "v2")]


NAMES = [
    "", "main", "Main", "latest", "LATEST", "HEAD", "v1", "v999999999999", "V2", "v0",
    "0123456789" * 4, "ABCDEF0123" * 4, "a b", "a//b", "/a", "a/", "a/-b",
    "a/../b", "refs/heads/a", "Refs/pr/1", "a/history", f"{'x' * 48}/{'y' * 48}",
    "-a", "a-", ".a", "a.", "a..b", "a@b",
    "ä", "a\n", "a\x00", "x" * 97, "😀",
]  # fmt: skip


def test_a_name_that_means_something_else_is_refused(
    ada: User, noir: Adapter, first: Version, subtests: pytest.Subtests
) -> None:
    for name in NAMES:
        with subtests.test(name=name):
            with pytest.raises(NameInvalid):
                aliases.point(actor=ada, adapter=noir, name=name, to=first.revision)
            with pytest.raises(NameInvalid):
                aliases.remove(actor=ada, adapter=noir, name=name)


def test_other_names_are_taken(
    ada: User, noir: Adapter, first: Version, subtests: pytest.Subtests
) -> None:
    for name in [
        "a",
        "_x",
        "v1.0",
        "v2-beta",
        "2026-11",
        "x" * 96,
        "abc123",
        "feat/rain.1",
        "a/b/v1",
    ]:
        with subtests.test(name=name):
            aliases.point(actor=ada, adapter=noir, name=name, to=first.revision)
            assert version_selectors.get(None, noir, name) == first


def test_whoever_makes_an_alias_says_whether_it_is_a_branch(
    ada: User, noir: Adapter, first: Version
) -> None:
    to = first.revision
    assert aliases.point(actor=ada, adapter=noir, name="a/b", to=to, is_branch=True).is_branch
    assert not aliases.point(actor=ada, adapter=noir, name="c", to=to).is_branch
    aliases.remove(actor=ada, adapter=noir, name="c")
    assert aliases.point(actor=ada, adapter=noir, name="c", to=to, is_branch=True).is_branch


def test_case_alone_makes_no_other_alias(ada: User, noir: Adapter, first: Version) -> None:
    aliases.point(actor=ada, adapter=noir, name="Stable", to=first.revision)
    with pytest.raises(NameTaken):
        aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    with pytest.raises(NotFound):
        version_selectors.get(None, noir, "stable")


def test_an_alias_moves_only_from_where_its_mover_saw_it(
    ada: User, noir: Adapter, first: Version, second: Version
) -> None:
    one, two = first.revision, second.revision
    with pytest.raises(Conflict) as refusal:
        aliases.point(actor=ada, adapter=noir, name="stable", to=two, expected=one)
    assert refusal.value.facts == {"alias": "stable", "current": None, "expected": one.commit}
    aliases.point(actor=ada, adapter=noir, name="stable", to=one, expected=None)
    with pytest.raises(Conflict, match="already exists and points to v1"):
        aliases.point(actor=ada, adapter=noir, name="stable", to=two, expected=None)
    with pytest.raises(Conflict, match="now points to v1, not to v2"):
        aliases.point(actor=ada, adapter=noir, name="stable", to=two, expected=two)
    with pytest.raises(Conflict):
        aliases.remove(actor=ada, adapter=noir, name="stable", expected=two)
    aliases.point(actor=ada, adapter=noir, name="stable", to=two, expected=one)
    aliases.remove(actor=ada, adapter=noir, name="stable", expected=two)
    assert moves(noir, "stable") == [("", "v1"), ("v1", "v2"), ("v2", "")]


def test_a_draft_cannot_be_pointed_at(ada: User, noir: Adapter, send: Send) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    with pytest.raises(StateConflict, match="Publish it first"):
        aliases.point(actor=ada, adapter=noir, name="next", to=draft.revision)


def test_a_withdrawn_version_cannot_be_pointed_at_and_stays_explained(
    ada: User, noir: Adapter, first: Version, second: Version
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    withdraw.withdraw(actor=ada, version=first, reason="Copied.")
    with pytest.raises(Gone):
        aliases.point(actor=ada, adapter=noir, name="other", to=first.revision)
    version = version_selectors.get(None, noir, "stable")
    assert str(version_selectors.gone(version, "stable").detail) == (
        "“stable” points to v1, which was withdrawn: Copied. Use v2 instead."
    )


def test_an_alias_may_name_a_revision_without_a_version(ada: User, noir: Adapter) -> None:
    root = manifests.main_of(noir)
    alias = aliases.point(actor=ada, adapter=noir, name="empty", to=root)
    (pointer,) = alias_selectors.pointers([alias])
    assert pointer.version is None
    with pytest.raises(NotFound):
        version_selectors.get(None, noir, "empty")


def test_strangers_move_nothing(ada: User, bob: User, noir: Adapter, first: Version) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    with pytest.raises(Forbidden):
        aliases.point(actor=bob, adapter=noir, name="stable", to=first.revision)
    with pytest.raises(Forbidden):
        aliases.remove(actor=bob, adapter=noir, name="stable")


def test_there_is_a_limit(
    ada: User, noir: Adapter, first: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "MAX_ALIASES", 2)
    for name in ("a", "b"):
        aliases.point(actor=ada, adapter=noir, name=name, to=first.revision)
    with pytest.raises(QuotaExceeded) as refusal:
        aliases.point(actor=ada, adapter=noir, name="c", to=first.revision)
    assert refusal.value.facts == {"limit": 2}
    aliases.point(actor=ada, adapter=noir, name="b", to=manifests.main_of(noir))
    aliases.remove(actor=ada, adapter=noir, name="a")
    aliases.point(actor=ada, adapter=noir, name="c", to=first.revision)


def test_revisions_are_found_by_every_name(
    ada: User, noir: Adapter, first: Version, second: Version
) -> None:
    noir.refresh_from_db()
    aliases.point(actor=ada, adapter=noir, name="stable", to=first.revision)
    for name in ("v1", "stable", first.revision.commit):
        assert revisions.revision_named(noir, name) == first.revision
    for name in ("v2", "main", "latest"):
        assert revisions.revision_named(noir, name) == second.revision
    other = adapters.create(actor=ada, name="other")
    for name in ("v3", "V1", "nope", "0" * 40):
        with pytest.raises(NotFound):
            revisions.revision_named(noir, name)
    for name in ("v1", "latest", "stable", first.revision.commit):
        with pytest.raises(NotFound):
            revisions.revision_named(other, name)
