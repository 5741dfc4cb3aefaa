"""``/file-names``: which adapters have a file of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.adapters.by_file_name import MAX_NAMES
from registry.models import Adapter, Visibility
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


def found(caller: Caller, *names: str) -> dict[str, list[str]]:
    answer = caller.send("post", "file-names", {"names": list(names)})
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    assert [row["name"] for row in rows] == list(names)
    return {
        row["name"]: [
            f"{m['version']['adapter']}@{m['version']['version']} {m['file']['path']}"
            for m in row["matches"]
        ]
        for row in rows
    }


RESTORED = "known"


@pytest.fixture
def known(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Adapter:
    """Two versions with a file of the same name."""
    if not noir.versions.exists():
        released(noir, lora)
        released(noir, kohya(DENOISERS["sd1", "diffusers"], rank=16))
    return noir


@pytest.mark.parametrize(
    "name",
    ["noir.safetensors", "NOIR.SAFETENSORS", "noir", "style/noir.safetensors", "a\\b\\noir.pt"],
)
def test_case_folders_and_ending_do_not_count(stranger: Caller, known: Adapter, name: str) -> None:
    del known
    assert found(stranger, name) == {name: ["ada/noir@v2 noir.safetensors"]}


@pytest.mark.parametrize(
    "name", ["noir2", "noi", "ada", "ada--other", "", " ", '"', "--", "…", "ada--noir2"]
)
def test_other_names_are_not_found(stranger: Caller, known: Adapter, name: str) -> None:
    del known
    answer = stranger.send("post", "file-names", {"names": [name]})
    if name.strip():
        assert answer.json()["results"] == [{"name": name, "matches": []}]
    else:
        assert answer.status_code == 400


def test_names_of_saved_files_are_found(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora, path="pytorch_lora_weights.safetensors")
    want = ["ada/noir@v1 pytorch_lora_weights.safetensors"]
    for name in ("ada--noir.safetensors", "Ada--Noir", "ada--noir--v1.safetensors"):
        assert found(stranger, name) == {name: want}


def test_adapters_that_a_search_does_not_find_are_left_out(
    stranger: Caller, as_ada: Caller, known: Adapter
) -> None:
    for visibility in (Visibility.UNLISTED, Visibility.PRIVATE):
        Adapter.objects.filter(pk=known.pk).update(visibility=visibility)
        assert found(stranger, "noir", "ada--noir") == {"noir": [], "ada--noir": []}
        assert found(as_ada, "noir")["noir"]


def test_the_number_of_names_is_limited(stranger: Caller) -> None:
    answer = stranger.send("post", "file-names", {"names": ["noir"] * (MAX_NAMES + 1)})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


def test_each_name_costs_one_query(stranger: Caller, known: Adapter) -> None:
    del known
    with CaptureQueriesContext(connection) as queries:
        found(stranger, "noir", *(f"other{number}" for number in range(10)))
    # PostgreSQL's search asks for the newest adapter first.
    assert len(queries) <= (30 if connection.vendor == "postgresql" else 20)
