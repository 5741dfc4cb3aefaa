"""Requests that claim a character set are read as UTF-8, even where it is none at all."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_no_character_set_ends_a_request(quiet_hub: RunningHub) -> None:
    for charset in ("base64", "rot13", "idna", "utf-7", '"base64"', "BASE64 ; x=y", ""):
        connection = http.client.HTTPConnection("127.0.0.1", quiet_hub.port, timeout=10)
        said = {"Content-Type": f"application/x-www-form-urlencoded; CharSet = {charset}"}
        connection.request("GET", "/api/v1/models?query=%C3%A9", headers=said)
        answer = connection.getresponse()
        assert answer.status == 200, (charset, answer.read())
        connection.close()
    assert "Traceback" not in quiet_hub.log.read_text(encoding="utf-8")
