"""What is said of a version that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from registry.errors import NotFound
from registry.models import Upload, Version
from registry.selectors import aliases as found_aliases
from registry.selectors import files as found_files
from registry.selectors import versions as found_versions
from registry.services import versions, withdrawing
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
        found_versions.get(user, adapter, name)
    with pytest.raises(NotFound) as by_alias:
        found_aliases.revision_named(adapter, name)
    return {str(error.value).partition("”.")[2].strip() for error in (by_version, by_alias)}


def test_an_absent_version_is_refused_with_those_there_are(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    draft = versions.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    assert refusals(ada, noir) == {""}
    versions.publish(actor=ada, version=draft)
    noir.refresh_from_db()
    assert refusals(None, noir) == {"It has v1."}
    for rank in range(5, 9):
        release(ada, noir, kohya(SD1, rank=rank))
    noir.refresh_from_db()
    assert refusals(None, noir) == {"It has v5, v4, v3, v2, v1."}
    assert refusals(None, noir, "no-alias") == {"It has v5, v4, v3, v2, v1."}
    release(ada, noir, kohya(SD1, rank=9))
    noir.refresh_from_db()
    assert refusals(None, noir) == {"Its newest are v6, v5, v4, v3, v2."}


def test_a_refusal_names_neither_drafts_nor_what_was_withdrawn(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    first, second, third = (release(ada, noir, kohya(SD1, rank=rank)) for rank in (1, 2, 3))
    versions.create_draft(actor=ada, adapter=noir, uploads=[send(ada, kohya(SD1, rank=4))])
    withdrawing.withdraw(actor=ada, version=second, reason="Rights.")
    versions.yank(actor=ada, version=third, reason="Noise.")
    noir.refresh_from_db()
    assert noir.latest_version == first
    for user in (None, ada):
        assert refusals(user, noir) == {"It has v3, v1. The latest is v1."}


def test_a_refusal_tells_a_program_that_the_adapter_is_there(
    ada: User, bob: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    asked = (
        (lambda: found_versions.get(None, noir, "v9"), {"version": "v9"}),
        (lambda: found_versions.file(version, "x.txt"), {"version": "v1", "path": "x.txt"}),
        (lambda: found_files.get(None, "ada", "noir", "v1", "y"), {"version": "v1", "path": "y"}),
        (lambda: found_aliases.revision_named(noir, "best"), {"version": "best"}),
        (lambda: found_aliases.get(noir, "best"), {"alias": "best"}),
        (lambda: found_aliases.history(noir, "best"), {"alias": "best"}),
    )
    for call, facts in asked:
        with pytest.raises(NotFound) as refusal:
            call()
        assert refusal.value.facts == {"adapter": "ada/noir", **facts}
    noir.visibility = "private"
    noir.save(update_fields=["visibility"])
    for user in (None, bob):
        with pytest.raises(NotFound) as refusal:
            found_files.get(user, "ada", "noir", "v1", "x.txt")
        assert refusal.value.facts == {}
