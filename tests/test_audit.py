"""``make audit``: the look-up of vulnerabilities where its service cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.running import free_port
from tools import audit

if TYPE_CHECKING:
    import pytest


def test_without_its_service_the_look_up_is_skipped_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = f"http://127.0.0.1:{free_port()}/pypi/pip/json"
    assert audit.look_up(*audit.LOCKS, service=service) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Skipped the look-up of vulnerabilities: {service} cannot be reached")
    assert "refused" in text
