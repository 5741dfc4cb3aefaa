"""What is said of a version that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.errors import NotFound
from registry.models import Upload, Version
from registry.publication import services as publication
from registry.versions import files as version_files
from registry.versions import revisions, withdraw
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from tests.builders.adapters import kohya
from tests.registry.files import LORA, SD1

if TYPE_CHECKING:
    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

Release = Callable[..., Version]
Send = Callable[..., Upload]


def refusals(user: User | None, adapter: Adapter, name: str = "v99") -> set[str]:
    """What is said after the first sentence, by versions and by aliases."""
    with pytest.raises(NotFound) as by_version:
        version_selectors.get(user, adapter, name)
    with pytest.raises(NotFound) as by_alias:
        revisions.revision_named(adapter, name)
    return {str(error.value).partition("”.")[2].strip() for error in (by_version, by_alias)}


def test_an_absent_version_is_refused_with_those_there_are(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    assert refusals(ada, noir) == {""}
    publication.publish(actor=ada, version=draft)
    noir.refresh_from_db()
    assert refusals(None, noir) == {"Its versions are v1."}
    aliases.point(actor=ada, adapter=noir, name="stable", to=draft.revision)
    assert refusals(None, noir) == {"Its versions are v1. Its aliases include stable."}
    aliases.remove(actor=ada, adapter=noir, name="stable")
    for rank in range(5, 9):
        release(ada, noir, kohya(SD1, rank=rank))
    noir.refresh_from_db()
    assert refusals(None, noir) == {"Its versions are v5, v4, v3, v2, v1."}
    assert refusals(None, noir, "no-alias") == {"Its versions are v5, v4, v3, v2, v1."}
    release(ada, noir, kohya(SD1, rank=9))
    noir.refresh_from_db()
    assert refusals(None, noir) == {"Its newest versions are v6, v5, v4, v3, v2."}


def test_a_refusal_names_neither_drafts_nor_what_was_withdrawn(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    first, second, third = (release(ada, noir, kohya(SD1, rank=rank)) for rank in (1, 2, 3))
    publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, kohya(SD1, rank=4))])
    withdraw.withdraw(actor=ada, version=second, reason="Rights.")
    versions.yank(actor=ada, version=third, reason="Noise.")
    noir.refresh_from_db()
    assert noir.latest_version == first
    for user in (None, ada):
        assert refusals(user, noir) == {"Its versions are v3, v1. The latest is v1."}


def test_a_refusal_tells_a_program_that_the_adapter_is_there(
    ada: User, bob: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    asked = (
        (lambda: version_selectors.get(None, noir, "v9"), {"version": "v9"}),
        (lambda: version_selectors.file(version, "x.txt"), {"version": "v1", "path": "x.txt"}),
        (lambda: version_files.get(None, "ada", "noir", "v1", "y"), {"version": "v1", "path": "y"}),
        (lambda: revisions.revision_named(noir, "best"), {"version": "best"}),
        (lambda: alias_selectors.get(noir, "best"), {"alias": "best"}),
        (lambda: alias_selectors.history(noir, "best"), {"alias": "best"}),
    )
    for call, facts in asked:
        with pytest.raises(NotFound) as refusal:
            call()
        assert refusal.value.facts == {"adapter": "ada/noir", **facts}
    noir.visibility = "private"
    noir.save(update_fields=["visibility"])
    for user in (None, bob):
        with pytest.raises(NotFound) as refusal:
            version_files.get(user, "ada", "noir", "v1", "x.txt")
        assert refusal.value.facts == {}
