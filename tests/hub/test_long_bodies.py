"""Long bodies are read without a connection of the pool, and otherwise as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.http import HttpResponse

from hub.http.middleware import BODY_BYTES, ReleaseMiddleware

if TYPE_CHECKING:
    from django.test import RequestFactory


@pytest.mark.django_db
@pytest.mark.parametrize("length", [BODY_BYTES - 1, BODY_BYTES])
def test_a_body_is_read_whole_with_a_pool(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    options = {**connection.settings_dict["OPTIONS"], "pool": {"max_size": 4}}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    sent = rf.post("/", b"x" * length, content_type="application/json")
    answer = ReleaseMiddleware(lambda request: HttpResponse(request.body))(sent)
    assert getattr(answer, "content", b"") == b"x" * length
