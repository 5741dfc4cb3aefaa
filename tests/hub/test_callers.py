"""Who is asking, as far as limits tell callers apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.http.callers import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import RequestFactory


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2a00:db8:1:2::1", "2a00:db8:1:2::/64"),
        ("2a00:db8:1:2:ffff:ffff:ffff:ffff", "2a00:db8:1:2::/64"),
        ("2a00:db8:1:3::1", "2a00:db8:1:3::/64"),
        ("fe80::1", "fe80::1"),
        ("192.0.2.1:4711", "192.0.2.1:4711"),
        ("", ""),
    ],
)
def test_the_addresses_of_one_ipv6_network_count_as_one(
    rf: RequestFactory, own_settings: Callable[..., None], told: str, counted: str
) -> None:
    assert address_of(rf.get("/", REMOTE_ADDR=told)) == counted
    own_settings(trust_proxy=True)
    headers = {"X-Forwarded-For": f"203.0.113.9, {told}"}
    assert address_of(rf.get("/", REMOTE_ADDR=told, headers=headers)) == counted
