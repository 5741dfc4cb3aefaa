"""Broken requests at every address that changes something: refused in words, nothing changed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from registry.models import Adapter, Alias, Event, Revision, Version
from tools.fuzz.endpoints.broken import CALLS, NOIR, body_of, broken

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def state() -> list[Any]:
    """Return what nothing broken may change."""
    return [
        list(Adapter.objects.order_by("pk").values_list("name", "visibility", "withdrawn_reason")),
        list(Alias.objects.order_by("pk").values_list("name", "revision")),
        [kind.objects.count() for kind in (Revision, Version, Event)],
    ]


def test_broken_requests_are_refused_and_change_nothing(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for method, path, valid in CALLS:
        with subtests.test(method=method, path=path, valid=valid):
            rng = random.Random(path)
            before = state()
            for _try in range(40):
                body = body_of(path, broken(valid, rng), rng)
                answer = as_ada.generic(method, path, body, content_type="application/json")
                assert answer.status_code < 500, (path, body[:500], answer.content)
                if answer.status_code >= 400:
                    said = answer.json()
                    assert said.get("error") or said.get("errors"), body[:500]
                    assert "Traceback" not in answer.content.decode()
            kept = "/settings" in path or "/create" in path or "/commit/" in path
            assert kept or state() == before


def test_whoever_sends_them_without_a_token_changes_nothing_at_all(
    stranger: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for method, path, valid in CALLS:
        with subtests.test(method=method, path=path, valid=valid):
            rng = random.Random(path)
            before = state()
            for value in [valid, *(broken(valid, rng) for _try in range(15))]:
                answer = stranger.generic(method, path, body_of(path, value, rng))
                is_question = path == "/api/validate-yaml"
                assert answer.status_code in ({200, 400} if is_question else {401}), answer.content
            assert state() == before


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "none-of-them"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_no_character_set_breaks_anything(
    stranger: Client, noir: Adapter, kind: str, charset: str
) -> None:
    said = f"{kind}; charset={charset}"
    for place in ("/api/models?search=%ff", "/api/v1/models?query=%ff"):
        assert stranger.get(place, CONTENT_TYPE=said).status_code in {200, 400}
    answer = stranger.generic("POST", f"{NOIR}/paths-info/main", b"paths=x", content_type=said)
    assert answer.status_code in {200, 400}


def test_a_form_without_a_boundary_is_refused(stranger: Client, noir: Adapter) -> None:
    answer = stranger.generic(
        "POST", f"{NOIR}/paths-info/main", b"x", content_type="multipart/form-data"
    )
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_list_is_not_filtered_by_hundreds_of_tags(stranger: Client, noir: Adapter) -> None:
    for count, status in ((32, 200), (33, 400), (2000, 400)):
        tags = ",".join(f"t{n}" for n in range(count))
        assert stranger.get(f"/api/models?filter={tags}").status_code == status
    assert stranger.get(f"/api/models?filter={'film,' * 2000}").json()[0]["id"] == "ada/noir"
