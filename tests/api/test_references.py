"""``/references``: several versions in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hub.api.versions.references import MAX_REFERENCES
from registry.adapters import services as adapters
from registry.models import Visibility
from registry.versions import services as versions
from registry.versions import withdraw
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


def asked(caller: Caller, *references: str) -> list[dict[str, Any] | None]:
    answer = caller.send("post", "references", {"references": list(references)})
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    assert [row["reference"] for row in rows] == list(references)
    return [row["version"] for row in rows]


@pytest.fixture
def two(noir: Adapter, released: Callable[..., Version], lora: bytes) -> list[Version]:
    return [released(noir, lora), released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=16))]


def test_each_version_is_what_its_own_address_returns(stranger: Caller, two: list[Version]) -> None:
    names = ["v1", "v2", "latest", "main", two[0].revision.commit]
    found = asked(stranger, "ada/noir", *(f"ada/noir@{name}" for name in names))
    alone = [
        stranger.send("get", f"adapters/ada/noir/versions/{name}").json()
        for name in ("latest", *names)
    ]
    assert found == alone
    assert [one["version"] for one in alone] == ["v2", "v1", "v2", "v2", "v2", "v1"]


def test_what_cannot_be_had_is_null(
    stranger: Caller, two: list[Version], ada: User, noir: Adapter
) -> None:
    withdraw.withdraw(actor=ada, version=two[0], reason="Rights.")
    unknown = ("ada/noir@v1", "ada/noir@v9", "ada/noir@none", "ada/other", "ada", "a/b/c@v1")
    assert asked(stranger, *unknown) == [None] * len(unknown)
    adapters.rename(actor=ada, adapter=noir, name="film")
    assert [one and one["version"] for one in asked(stranger, "ada/noir", "ADA/Film")] == [
        None, "v2",
    ]  # fmt: skip


def test_private_versions_and_drafts_are_shown_to_their_owner_alone(
    stranger: Caller, as_ada: Caller, two: list[Version], noir: Adapter
) -> None:
    noir.visibility = Visibility.PRIVATE
    noir.save(update_fields=["visibility"])
    assert asked(stranger, "ada/noir", "ada/noir@v1") == [None, None]
    assert all(asked(as_ada, "ada/noir", "ada/noir@v1"))
    del two


def test_a_yanked_version_is_returned_with_its_reason(
    stranger: Caller, two: list[Version], ada: User
) -> None:
    versions.yank(actor=ada, version=two[1], reason="Too strong.")
    latest, yanked = asked(stranger, "ada/noir", "ada/noir@v2")
    assert latest is not None
    assert yanked is not None
    assert (latest["version"], yanked["state"], yanked["reason"]) == ("v1", "yanked", "Too strong.")


@pytest.mark.usefixtures("two")
def test_more_references_take_no_more_queries(stranger: Caller) -> None:
    counts = []
    for references in (["ada/noir@v1"], ["ada/noir@v1", "ada/noir@v2", "ada/noir", "ada/other"]):
        asked(stranger, *references)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            asked(stranger, *references)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_adapters_are_returned_once_as_their_own_addresses_return_them(
    stranger: Caller, two: list[Version], ada: User, lora: bytes, released: Callable[..., Version]
) -> None:
    released(adapters.create(actor=ada, name="ink", tags=["wash"]), lora)
    references = ["ada/noir@v1", "ada/noir@v2", "ada/ink", "ada/none"]
    body = {"references": references}
    page = stranger.send("post", "references?adapters=true", body).json()
    assert [row["reference"] for row in page["results"]] == references
    alone = [stranger.send("get", f"adapters/ada/{name}").json() for name in ("noir", "ink")]
    assert page["adapters"] == [{key: one[key] for key in page["adapters"][0]} for one in alone]
    assert {"card", "tags", "licence", "maturity", "summary", "title"} <= page["adapters"][0].keys()
    assert "adapters" not in stranger.send("post", "references", body).json()
    assert stranger.send("post", "references?adapter=true", body).status_code == 400
    counts = []
    for some in (references[:1], references):
        with CaptureQueriesContext(connection) as queries:
            stranger.send("post", "references?adapters=true", {"references": some})
        counts.append(len(queries))
    assert counts[0] == counts[1]
    del two


def test_too_many_are_refused(stranger: Caller) -> None:
    answer = stranger.send("post", "references", {"references": ["a/b"] * (MAX_REFERENCES + 1)})
    assert answer.status_code == 400
