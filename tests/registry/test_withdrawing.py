"""Versions and adapters that are taken down for good."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.accounts import permissions
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.aliases import services as aliases
from registry.cards import services as cards
from registry.errors import (
    AlreadyPublished,
    Forbidden,
    Gone,
    Invalid,
    NameTaken,
    NotFound,
    StateConflict,
    Unauthenticated,
    UploadRefused,
)
from registry.hooks import version_withdrawn
from registry.models import (
    Adapter,
    Event,
    Upload,
    User,
    Version,
)
from registry.publication import services as publication
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions import withdraw
from registry.versions.details import Details
from tests.builders.adapters import kohya
from tests.registry.files import LORA, OTHER, SD1

pytestmark = pytest.mark.django_db

Release = Callable[..., Version]
Send = Callable[..., Upload]

WHY = "Rights of the photographer."
RESTORED = "version"


@pytest.fixture
def version(ada: User, noir: Adapter, release: Release) -> Version:
    return noir.versions.first() or release(ada, noir, LORA)


@pytest.fixture
def staff(bob: User) -> User:
    """Somebody who runs the hub and owns nothing in it."""
    bob.is_staff = True
    bob.save()
    return bob


def digests(version: Version) -> set[str]:
    return {file.sha256 for file in version.files}


def test_a_withdrawn_version_keeps_number_revision_and_digests(
    ada: User, noir: Adapter, version: Version
) -> None:
    before = (version.number, version.revision, digests(version))
    withdraw.withdraw(actor=ada, version=version, reason=f"  {WHY}\n")
    version.refresh_from_db()
    assert (version.state, version.withdrawn_reason) == ("withdrawn", WHY)
    assert (version.withdrawn_by, version.is_takedown) == (ada, False)
    assert version.withdrawn_at is not None
    assert (version.number, version.revision, digests(version)) == before
    assert version_selectors.get(None, noir, "v1") == version
    event = Event.objects.get(verb="version_withdrawn")
    assert (event.actor, event.subject, event.adapter) == (ada, "v1", noir)
    assert event.facts == {"reason": WHY, "takedown": False, "sha256": list(digests(version))}


def test_its_files_are_gone_with_the_reason_and_what_is_offered_instead(
    ada: User, noir: Adapter, release: Release
) -> None:
    first, second = release(ada, noir, LORA), release(ada, noir, OTHER)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    version = version_selectors.get(None, noir, "v1")
    with pytest.raises(Gone) as gone:
        version_selectors.file(version, "noir.safetensors")
    assert gone.value.detail == ("v1 was withdrawn: Rights of the photographer. Use v2 instead.")
    facts = gone.value.facts
    assert (facts["version"], facts["reason"], facts["latest_version"]) == ("v1", WHY, "v2")
    digest = version.files.get(is_primary=True).sha256
    known = {"path": "noir.safetensors", "size": len(LORA), "sha256": digest}
    assert facts["files"][0] == known
    assert version_selectors.get(None, noir) == second


def test_the_lists_go_back_to_the_version_before(
    ada: User, noir: Adapter, release: Release
) -> None:
    first = release(ada, noir, LORA, Details(trigger_words=["early"]))
    second = release(ada, noir, OTHER, Details(trigger_words=["late"]))
    withdraw.withdraw(actor=ada, version=second, reason=WHY)
    noir.refresh_from_db()
    assert noir.latest_version == first
    assert adapter_selectors.search(None, adapter_selectors.Query(q="late")).results == []
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    assert adapter_selectors.search(None, adapter_selectors.Query()).results == []
    assert version_selectors.get(None, Adapter.objects.get()).state == "withdrawn"


def test_latest_is_a_tombstone_only_where_nothing_else_is(
    ada: User, noir: Adapter, release: Release, version: Version
) -> None:
    first, second = version, release(ada, noir, OTHER)
    versions.yank(actor=ada, version=first, reason="too strong")
    withdraw.withdraw(actor=ada, version=second, reason=WHY)
    noir.refresh_from_db()
    assert version_selectors.get(None, noir) == first


@pytest.mark.django_db(transaction=True)
def test_others_hear_of_it_after_the_commit(ada: User, noir: Adapter, version: Version) -> None:
    heard: list[str] = []

    def listen(version_id: int, **_: object) -> None:
        heard.append(Version.objects.get(pk=version_id).state)

    version_withdrawn.connect(listen)
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    version_withdrawn.disconnect(listen)
    assert heard == ["withdrawn"]


def test_it_cannot_be_undone(ada: User, noir: Adapter, version: Version) -> None:
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    acts: list[Callable[[], Version]] = [
        lambda: versions.restore(actor=ada, version=version),
        lambda: versions.yank(actor=ada, version=version, reason="x"),
        lambda: cards.edit_version(actor=ada, version=version, details=Details(label="x")),
        lambda: withdraw.withdraw(actor=ada, version=version, reason="another"),
    ]
    for act in acts:
        with pytest.raises(StateConflict) as refusal:
            act()
        assert refusal.value.facts["state"] == "withdrawn"
    with pytest.raises(AlreadyPublished):
        publication.publish(actor=ada, version=version)
    with pytest.raises(AlreadyPublished):
        versions.discard(actor=ada, version=version)


def test_again_with_the_same_reason_changes_nothing(
    ada: User, noir: Adapter, version: Version
) -> None:
    for _again in range(2):
        withdraw.withdraw(actor=ada, version=version, reason=WHY)
    assert Event.objects.filter(verb="version_withdrawn").count() == 1


def test_a_draft_is_discarded_instead(ada: User, noir: Adapter, send: Send) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    with pytest.raises(StateConflict, match="Discard it instead"):
        withdraw.withdraw(actor=ada, version=draft, reason=WHY)


@pytest.mark.parametrize("reason", ["", " \t", "x" * 281, "a\x00b", "a\x1b[2J"])
def test_a_reason_is_needed(ada: User, noir: Adapter, version: Version, reason: str) -> None:
    for act in (
        lambda: withdraw.withdraw(actor=ada, version=version, reason=reason),
        lambda: withdraw.withdraw_adapter(actor=ada, adapter=noir, reason=reason),
    ):
        with pytest.raises(Invalid) as refusal:
            act()
        assert list(refusal.value.facts["fields"]) == ["reason"]
    version.refresh_from_db()
    assert version.state == "published"


def test_only_its_owner_and_those_who_run_the_hub_withdraw(
    ada: User, bob: User, noir: Adapter, version: Version
) -> None:
    with pytest.raises(Unauthenticated):
        withdraw.withdraw(actor=None, version=version, reason=WHY)  # type: ignore[arg-type]  # nobody
    with pytest.raises(Forbidden):
        withdraw.withdraw(actor=bob, version=version, reason=WHY)
    with pytest.raises(Forbidden):
        withdraw.withdraw_adapter(actor=bob, adapter=noir, reason=WHY)
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    with pytest.raises(NotFound):
        withdraw.withdraw(actor=bob, version=version, reason=WHY)
    bob.is_staff = True
    assert withdraw.withdraw(actor=bob, version=version, reason=WHY).is_takedown


def test_what_an_operator_took_down_does_not_come_back_to_this_adapter(
    ada: User, staff: User, noir: Adapter, release: Release, send: Send, version: Version
) -> None:
    withdraw.withdraw(actor=staff, version=version, reason=WHY)
    card = send(ada, b"# another manifest", "README.md")
    with pytest.raises(UploadRefused) as refusal:
        publication.create_draft(
            actor=ada, adapter=noir, uploads=[send(ada, LORA, "renamed.safetensors"), card]
        )
    assert "were withdrawn with v1: Rights of the photographer." in str(refusal.value.detail)
    assert refusal.value.facts == {"paths": ["renamed.safetensors"], "version": "v1"}
    resaved = send(ada, kohya(SD1, metadata={"saved": "again"}), "resaved.safetensors")
    with pytest.raises(UploadRefused) as refusal:
        publication.create_draft(actor=ada, adapter=noir, uploads=[resaved])
    assert refusal.value.facts == {"paths": ["resaved.safetensors"], "version": "v1"}
    noir.refresh_from_db()
    assert noir.last_number == 1
    assert release(ada, noir, OTHER).name == "v2"
    ada.is_staff = True
    assert permissions.is_operator(ada)
    assert publication.release(actor=ada, adapter=noir, uploads=[send(ada, LORA)]).name == "v3"


def test_a_withdrawn_adapter_takes_everything_along(
    ada: User, bob: User, noir: Adapter, release: Release, send: Send, version: Version
) -> None:
    first, second = version, release(ada, noir, OTHER)
    versions.yank(actor=ada, version=first, reason="too strong")
    draft = [send(ada, LORA), send(ada, b"# x", "README.md")]
    publication.create_draft(actor=ada, adapter=noir, uploads=draft)
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason=WHY)
    noir = adapter_selectors.get(None, "ada", "noir")
    assert (noir.withdrawn_reason, noir.latest_version) == (WHY, None)
    assert [(one.name, one.state) for one in noir.versions.all()] == [
        ("v2", "withdrawn"), ("v1", "withdrawn"),
    ]  # fmt: skip
    assert adapter_selectors.search(ada, adapter_selectors.Query()).results == []
    verbs = Event.objects.filter(verb__endswith="withdrawn").order_by("pk")
    assert [event.subject for event in verbs] == ["v2", "v1", "ada/noir"]
    for act in (
        lambda: publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)]),
        lambda: cards.edit_adapter(actor=ada, adapter=noir, title="x"),
        lambda: adapters.rename(actor=ada, adapter=noir, name="x"),
        lambda: aliases.point(actor=ada, adapter=noir, name="x", to=second.revision),
    ):
        with pytest.raises(Gone, match="accepts no changes"):
            act()
    with pytest.raises(NameTaken):
        adapters.create(actor=ada, name="Noir")


def test_a_draft_that_was_begun_before_the_end_of_its_adapter_is_refused(
    ada: User, noir: Adapter, send: Send
) -> None:
    before = Adapter.objects.get(pk=noir.pk)
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason=WHY)
    with pytest.raises(Gone):
        publication.create_draft(actor=ada, adapter=before, uploads=[send(ada, LORA)])
    assert not Version.objects.exists()


def test_an_adapter_is_withdrawn_once(ada: User, noir: Adapter, version: Version) -> None:
    del version
    for _again in range(2):
        withdraw.withdraw_adapter(actor=ada, adapter=noir, reason=WHY)
    with pytest.raises(StateConflict, match="already withdrawn: Rights"):
        withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="another")
    assert Event.objects.filter(verb="adapter_withdrawn").count() == 1


def test_numbers_go_on_after_discards_and_withdrawals(
    ada: User, noir: Adapter, release: Release, send: Send, version: Version
) -> None:
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])
    assert draft.name == "v2"
    versions.discard(actor=ada, version=draft)
    assert release(ada, noir, OTHER).name == "v3"
