"""A question written once answers as the queryset does that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.database.compiled_queries import Compiled, as_list, integer, listed, text
from registry.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet


def by_name(username: str) -> QuerySet[User, Any]:
    return User.objects.filter(username=username).order_by().values_list("pk", "username")[:1]


def after(username: str, pk: int) -> QuerySet[User, Any]:
    later = User.objects.filter(pk__gte=pk, is_active=True).exclude(username=username)
    return later.order_by("pk").values_list("username")[:1]


def test_each_time_has_its_own_values(ada: User, bob: User) -> None:
    question = Compiled(by_name, username=text("username"))
    assert question.first(username="ada") == (ada.pk, "ada")
    assert question.first(username="bob") == (bob.pk, "bob")
    assert question.first(username="nobody") is None


def test_values_are_never_taken_for_sql(ada: User) -> None:
    question = Compiled(by_name, username=text("username"))
    for name in ("' OR 1=1 --", "%s", "%", '"', text("username"), "ada\\"):
        assert question.first(username=name) is None
    assert question.first(username=ada.username)


def test_what_is_always_asked_stays(ada: User, bob: User) -> None:
    question = Compiled(after, username=text("username"), pk=integer(1))
    assert question.first(username="", pk=ada.pk) == ("ada",)
    assert question.first(username="ada", pk=ada.pk) == ("bob",)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert question.first(username="ada", pk=ada.pk) is None


def test_sql_is_written_once(ada: User) -> None:
    built: list[str] = []

    def build(username: str) -> QuerySet[User, Any]:
        built.append(username)
        return by_name(username)

    question = Compiled(build, username=text("username"))
    assert [question.first(username=ada.username) for _ in range(3)] == [(ada.pk, "ada")] * 3
    assert built == [text("username")]


@pytest.mark.django_db
def test_a_value_without_a_place_is_a_mistake() -> None:
    question = Compiled(lambda username, other: by_name(username), username="a", other="b")
    with pytest.raises(ValueError, match="no place for other"):
        question.first(username="ada", other="x")


@pytest.mark.django_db
def test_a_place_without_a_value_is_a_mistake() -> None:
    question = Compiled(by_name, username=text("username"))
    with pytest.raises(KeyError):
        question.first()


def test_several_ids_are_one_value(ada: User, bob: User) -> None:
    def among(pks: str) -> QuerySet[User, Any]:
        return User.objects.filter(pk__in=listed(pks)).order_by("pk").values_list("username")

    question = Compiled(among, pks=text("pks"))
    assert question.rows(pks=as_list([bob.pk, ada.pk])) == [("ada",), ("bob",)]
    assert question.rows(pks=as_list([bob.pk])) == [("bob",)]
    assert question.rows(pks=as_list([])) == []
