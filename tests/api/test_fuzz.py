"""Any JSON at every address: refusals and answers, never a fault of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.packs import services as packs
from tests.whole import IS_WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FIELDS = (
    "name", "owner", "title", "kind", "summary", "card", "tags", "licence", "maturity",
    "visibility", "access", "path", "size", "sha256", "scopes", "uploads", "label", "notes",
    "family", "lineage", "trigger_words", "strength", "strength_min", "strength_max", "publish",
    "reason", "to", "expected", "hashes", "manifest",
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ADDRESSES = (
    ("post", "adapters"), ("patch", "adapters/ada/noir"), ("post", "uploads"), ("post", "tokens"),
    ("post", "adapters/ada/noir/versions"), ("patch", "adapters/ada/noir/versions/v1"),
    ("post", "adapters/ada/noir/versions/v1/yank"), ("post", "hashes"),
    ("put", "adapters/ada/noir/aliases/a"), ("post", "packs"), ("patch", "packs/ada/dusk"),
    ("post", "packs/ada/dusk/versions"), ("put", "packs/ada/dusk/aliases/a"),
)  # fmt: skip


@pytest.fixture
def shelf(ada: User, noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    packs.create(actor=ada, name="dusk")
    return released(noir, lora)


@settings(
    max_examples=150 if IS_WHOLE else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(address=st.sampled_from(ADDRESSES), data=st.data())
def test_no_body_breaks_the_server(
    as_ada: Caller, shelf: Version, address: tuple[str, str], data: st.DataObject
) -> None:
    body: Any = data.draw(
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4) | VALUES, label="body"
    )
    method, path = address
    answer = as_ada.send(method, path, json.dumps(body))
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert answer.json()["code"]


@settings(
    max_examples=100 if IS_WHOLE else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    query=st.dictionaries(
        st.sampled_from(["q", "family", "kind", "tag", "owner", "sort", "cursor", "limit"]),
        st.text() | st.integers().map(str),
    )
)
def test_no_query_breaks_the_search(stranger: Caller, shelf: Version, query: Any) -> None:
    for noun in ("adapters", "packs"):
        answer = stranger.get(f"/api/v1/{noun}", query)
        assert answer.status_code < 500, answer.content
