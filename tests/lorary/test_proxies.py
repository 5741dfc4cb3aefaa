"""Which proxy a request takes."""

from __future__ import annotations

import pytest

from lorary.safetensors.proxies import is_loopback, proxy_of


@pytest.mark.parametrize("host", ["localhost", "hub.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_computer_needs_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert is_loopback(host)
    assert proxy_of("http", host, 80) == ""


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.example", "localhost.example"])
def test_a_name_that_looks_like_it_is_another(host: str) -> None:
    assert not is_loopback(host)
