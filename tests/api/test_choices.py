"""A value outside a closed list is refused with the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rest_framework import serializers

from hub.api import urls  # noqa: F401 - loads every endpoint's serializers
from hub.api.base import MAX_LISTED, MAX_SHOWN_CHARS, Choice, Input
from lorary.anatomy import FAMILIES
from registry.models import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Caller

KINDS = ", ".join(Kind.values)


def refusal(answer: Any) -> dict[str, list[str]]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "validation_failed")
    fields: dict[str, list[str]] = problem["fields"]
    assert all(text in problem["detail"] for texts in fields.values() for text in texts)
    return fields


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("adapters?kind=foo", "kind", f"“foo” is not one of: {KINDS}."),
        ("adapters?sort=foo", "sort", "“foo” is not one of: relevance, new, updated, downloads"),
        ("adapters?family=wan", "family", f"“wan” is not one of: {', '.join(FAMILIES)}."),
        ("hashes/a1b2c3d4e5?kind=md5", "kind", "“md5” is not one of: sha256, "),
    ],
)
def test_a_query_is_told_what_it_may_say(
    stranger: Caller, query: str, field: str, sentence: str
) -> None:
    fields = refusal(stranger.send("get", query))
    assert set(fields) == {field}
    assert fields[field][0].startswith(sentence)


@pytest.mark.django_db
def test_a_body_is_told_what_it_may_say(as_ada: Caller) -> None:
    made = as_ada.send("post", "adapters", {"name": "noir", "kind": "foo", "maturity": 7})
    said = refusal(made)
    assert said["kind"] == [f"“foo” is not one of: {KINDS}."]
    assert said["maturity"][0].startswith("“7” is not one of: ")
    fields = refusal(as_ada.send("post", "tokens", {"name": "x", "scopes": ["read", "fly"]}))
    assert fields == {"scopes.1": ["“fly” is not one of: read, write, admin."]}


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["x" * 100_000, ["y" * 100_000], {"{input}": "{choices}"}])
def test_an_answer_does_not_grow_with_what_was_said(as_ada: Caller, value: object) -> None:
    answer = as_ada.send("post", "adapters", {"name": "noir", "kind": value})
    (sentence,) = refusal(answer)["kind"]
    assert len(sentence) <= MAX_SHOWN_CHARS + len(f"“” is not one of: {KINDS}.")
    assert sentence.endswith(f" is not one of: {KINDS}.")


def test_a_list_without_end_is_cut() -> None:
    field = Choice(choices=[str(number) for number in range(MAX_LISTED + 1)])
    with pytest.raises(serializers.ValidationError, match=r"is not one of: 0, 1, .*, 95, …"):
        field.run_validation("many")
    with pytest.raises(serializers.ValidationError, match="may not be null"):
        field.run_validation(None)


def inputs(base: type[Input] = Input) -> Iterator[type[Input]]:
    for kind in base.__subclasses__():
        yield kind
        yield from inputs(kind)


def test_every_closed_list_that_callers_choose_from_is_told() -> None:
    fields = [field for kind in inputs() for field in kind().fields.values()]
    parts = [part for field in fields for part in (field, getattr(field, "child", field))]
    closed = {part for part in parts if isinstance(part, serializers.ChoiceField)}
    assert len(closed) >= 9
    assert all(isinstance(part, Choice) for part in closed)


def test_an_unknown_parameter_is_called_one(stranger: Caller) -> None:
    answer = stranger.send("get", "adapters?colour=red")
    assert (answer.status_code, answer.json()["fields"]) == (
        400, {"colour": ["There is no such parameter."]},
    )  # fmt: skip
