"""Which proxy a request takes: the one rule of everything here that opens a connection."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["is_loopback", "proxy_name", "proxy_of"]


def is_loopback(host: str) -> bool:
    """Whether a host name means this computer, by itself and whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_of(scheme: str, host: str, port: int) -> str:
    """Return the address of the proxy that the environment names, "" where none is used.

    This computer needs none, whatever is set: a proxy would be shown what is meant for a server
    here, or send it to itself.
    """
    if is_loopback(host) or proxy_bypass(f"{host}:{port}"):
        return ""
    return getproxies().get(scheme, "")


def proxy_name(scheme: str, host: str, port: int) -> str:
    """Return ``host:port`` of the proxy, without its password; "" where none is used."""
    address = proxy_of(scheme, host, port)
    if not address:
        return ""
    return urlsplit(address if "://" in address else f"http://{address}").netloc.rpartition("@")[2]
