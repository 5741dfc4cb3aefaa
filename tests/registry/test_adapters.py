from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.accounts import users
from registry.adapters import manifests
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.errors import (
    CursorInvalid,
    Forbidden,
    Invalid,
    Moved,
    NameInvalid,
    NameTaken,
    NotFound,
    ScopeMissing,
    Unauthenticated,
)
from registry.models import Adapter, AdapterName, Event, Membership, Namespace, User
from registry.tokens import services as tokens

pytestmark = pytest.mark.django_db

FORGED = [
    base64.urlsafe_b64encode(text).decode().rstrip("=")
    for text in (
        b"[Infinity, 1]",
        b'["0001-01-01T00:00:00+14:00", 1]',
        b'["2026-01-01T00:00:00", 1]',
        b"[" * 2900,
    )
]


def test_an_adapter_starts_with_an_empty_root_revision_on_main(noir: Adapter) -> None:
    root = manifests.main_of(noir)
    assert (root.parent, root.files.count()) == (None, 0)
    assert len(root.commit) == 40


def test_creating_writes_an_event(noir: Adapter, ada: User) -> None:
    event = Event.objects.get(verb="adapter_created")
    assert (event.actor, event.adapter, event.subject) == (ada, noir, "ada/noir")


def test_tags_are_kept_in_lower_case_and_once(noir: Adapter, ada: User) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, tags=["Film", "film", " grainy  look "])
    assert sorted(noir.tags.values_list("name", flat=True)) == ["film", "grainy look"]


def test_a_name_is_unique_without_regard_to_case(noir: Adapter, ada: User) -> None:
    with pytest.raises(NameTaken):
        adapters.create(actor=ada, name="NOIR")


def test_two_owners_may_use_one_name(noir: Adapter, bob: User) -> None:
    assert adapters.create(actor=bob, name="noir").full_name == "bob/noir"


CARDS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "poem"}, "kind"),
    ({"title": "x" * 121}, "title"),
    ({"summary": 3}, "summary"),
    ({"card": "a\x00b"}, "card"),
    ({"tags": ["a"] * 31}, "tags"),
    ({"tags": "film"}, "tags"),
    ({"tags": ["<b>"]}, "tags"),
    ({"tags": ["ß" * 48]}, "tags"),
    ({"colour": "red"}, "colour"),
    ({"visibility": "secret"}, "visibility"),
]


def test_a_card_field_that_does_not_fit_is_named(ada: User, subtests: pytest.Subtests) -> None:
    for card, field in CARDS:
        with subtests.test(card=card, field=field):
            with pytest.raises(Invalid) as refusal:
                adapters.create(actor=ada, name="noir", **card)
            assert list(refusal.value.facts["fields"]) == [field]
            assert not Adapter.objects.exists()


def test_a_bad_name_leaves_nothing_behind(ada: User) -> None:
    with pytest.raises(NameInvalid):
        adapters.create(actor=ada, name="../noir")
    assert not AdapterName.objects.exists()


def test_a_stranger_cannot_publish_under_anothers_name(ada: User, bob: User) -> None:
    with pytest.raises(Forbidden):
        adapters.create(actor=bob, owner=ada.namespace, name="noir")


def test_a_member_with_write_may_publish_for_an_organisation(ada: User, bob: User) -> None:
    studio = Namespace.objects.create(name="studio", key="studio", kind="organisation")
    Membership.objects.create(namespace=studio, user=ada, role="write")
    Membership.objects.create(namespace=studio, user=bob, role="read")
    assert adapters.create(actor=ada, owner=studio, name="house").full_name == "studio/house"
    with pytest.raises(Forbidden):
        adapters.create(actor=bob, owner=studio, name="barn")


def test_a_stranger_cannot_edit(noir: Adapter, bob: User) -> None:
    with pytest.raises(Forbidden):
        cards.edit_adapter(actor=bob, adapter=noir, title="Mine")


def test_a_private_adapter_is_absent_for_strangers(noir: Adapter, ada: User, bob: User) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    for reader in (None, bob):
        with pytest.raises(NotFound):
            adapter_selectors.get(reader, "ada", "noir")
    with pytest.raises(NotFound):
        cards.edit_adapter(actor=bob, adapter=noir, title="Mine")
    assert adapter_selectors.get(ada, "ada", "noir") == noir


def test_a_blocked_adapter_is_absent_for_all_but_its_owner(
    noir: Adapter, ada: User, bob: User
) -> None:
    Adapter.objects.update(blocked_reason="complaint")
    with pytest.raises(NotFound):
        adapter_selectors.get(bob, "ada", "noir")
    assert adapter_selectors.get(ada, "ada", "noir") == noir


def test_a_renamed_adapter_redirects_and_keeps_its_old_name(noir: Adapter, ada: User) -> None:
    adapters.rename(actor=ada, adapter=noir, name="film-noir")
    with pytest.raises(Moved) as move:
        adapter_selectors.get(ada, "ada", "noir")
    assert move.value.facts["full_name"] == "ada/film-noir"
    with pytest.raises(NameTaken):
        adapters.create(actor=ada, name="noir")
    adapters.rename(actor=ada, adapter=noir, name="noir")
    assert adapter_selectors.get(ada, "ADA", "Noir") == noir


def test_a_token_without_write_cannot_create(ada: User) -> None:
    _token, secret = tokens.issue(actor=ada, name="reader", scopes=["read"])
    reader = tokens.authenticate(secret=secret).user
    with pytest.raises(ScopeMissing):
        adapters.create(actor=reader, name="noir")


def test_a_token_cannot_issue_a_wider_one(ada: User) -> None:
    _token, secret = tokens.issue(actor=ada, name="writer", scopes=["read", "write"])
    writer = tokens.authenticate(secret=secret).user
    with pytest.raises(Forbidden):
        tokens.issue(actor=writer, name="admin", scopes=["admin"])


def test_a_revoked_token_no_longer_works(ada: User) -> None:
    token, secret = tokens.issue(actor=ada, name="ci")
    assert tokens.authenticate(secret=secret) == token
    tokens.revoke(actor=ada, token_id=token.pk)
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)


def test_anothers_token_cannot_be_revoked(ada: User, bob: User) -> None:
    token, _secret = tokens.issue(actor=ada, name="ci")
    with pytest.raises(NotFound):
        tokens.revoke(actor=bob, token_id=token.pk)


def test_a_secret_is_not_kept(ada: User) -> None:
    token, secret = tokens.issue(actor=ada, name="ci")
    assert secret not in {token.digest, token.prefix}
    assert secret.startswith(token.prefix)


def test_a_user_name_is_unique_without_regard_to_case(ada: User) -> None:
    with pytest.raises(NameTaken):
        users.create_user(name="Ada")


def test_the_database_refuses_a_user_namespace_without_a_user() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Namespace.objects.create(name="ghost", key="ghost", kind="user")


def test_the_database_refuses_one_adapter_name_twice(noir: Adapter) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Adapter.objects.create(namespace=noir.namespace, name="Noir", key="noir")


def test_a_foreign_cursor_is_refused(subtests: pytest.Subtests) -> None:
    for cursor in ["nonsense", "W10", "WyJ4IiwgMV0", "é", "bnVsbA", *FORGED]:
        with subtests.test(cursor=cursor), pytest.raises(CursorInvalid):
            adapter_selectors.search(None, adapter_selectors.Query(), cursor=cursor)


def test_an_unknown_sort_and_an_absurd_limit_are_refused() -> None:
    with pytest.raises(Invalid):
        adapter_selectors.search(None, adapter_selectors.Query(sort="rating"))
    with pytest.raises(Invalid):
        adapter_selectors.search(None, adapter_selectors.Query(), limit=0)


def test_gated_access_is_refused_until_it_is_enforced(ada: User) -> None:
    with pytest.raises(Invalid):
        adapters.create(actor=ada, name="noir", access="gated-auto")


def test_a_reading_token_issues_none(ada: User) -> None:
    _token, secret = tokens.issue(actor=ada, name="reader", scopes=["read"])
    reader = tokens.authenticate(secret=secret).user
    with pytest.raises(ScopeMissing):
        tokens.issue(actor=reader, name="twin", scopes=["read"])


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of a few rows is SQLite's")
@pytest.mark.parametrize("column", ["published_at", "downloads", "updated_at"])
def test_a_page_is_read_from_an_index(column: str) -> None:
    edge = [1 if column == "downloads" else timezone.now().isoformat(), 1]
    cursor = base64.urlsafe_b64encode(json.dumps(edge).encode()).decode()
    with CaptureQueriesContext(connection) as queries:
        adapter_selectors.page(Adapter.objects.listed_for(None), column, cursor=cursor, limit=24)
    with connection.cursor() as raw:
        # Statistics of a hub, instead of those that another test made of its few rows: SQLite keeps
        # the sizes of tables even if their statistics are deleted.
        raw.execute("ANALYZE")
        raw.execute("DELETE FROM sqlite_stat1")
        raw.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('registry_adapter', NULL, '100000'),"
            " ('registry_namespace', NULL, '5000'), ('registry_version', NULL, '200000')"
        )
        raw.execute("ANALYZE sqlite_schema")
        raw.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = " / ".join(row[3] for row in raw.fetchall())
    assert "USING INDEX adapter_by_" in plan
    assert f"({column}<?)" in plan
    assert "TEMP B-TREE" not in plan
