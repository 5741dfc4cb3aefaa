"""Connections to the hubs that a project names."""

from __future__ import annotations

import threading

from lorary.client.config import (
    FoundToken,
    endpoint_of,
    home_of,
    is_hub_chosen,
    token_of,
    token_of_named,
)
from lorary.client.http.session import Session
from lorary.client.models import Version
from lorary.client.names import Reference, is_hub_name
from lorary.client.transfers.cache import Cache


class Hubs:
    """A session for each hub, and the cache; a context manager, usable by several threads.

    A project may come from a stranger and name any address, so a hub is sent only a token that is
    meant for it: the stored one, and LORARY_TOKEN only if it is the hub in use.

    Args:
        endpoint: Address or name of the hub in use; by default that of the environment.

    Attributes:
        default: Address of the hub in use.
        is_given: Whether ``endpoint`` says which one it is.
        is_unset: Whether nothing does: neither ``endpoint``, the environment nor a login.
        versions: Versions that were requested, by address of the hub and exact reference.

    Raises:
        SettingInvalid: the address or the stored settings are invalid.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._home = home_of()
        self.default = endpoint_of(self._home, endpoint)
        self.cache = Cache(self._home / "cache")
        self.is_given = bool(endpoint)
        self.is_unset = not (endpoint or is_hub_chosen(self._home))
        self._is_address_given = self.is_given and not is_hub_name(endpoint or "")
        self.versions: dict[tuple[str, Reference], Version] = {}
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Hubs:
        return self

    def __exit__(self, *_error: object) -> None:
        for session in self._sessions.values():
            session.close()

    def session(self, hub: str = "") -> Session:
        """Return the session with a hub; the one in use by default."""
        address = hub or self.default
        with self._lock:
            if address not in self._sessions:
                self._sessions[address] = Session.with_token(address, self._token(address))
            return self._sessions[address]

    def abort(self) -> None:
        """End all requests that wait for a response."""
        for session in self._sessions.values():
            session.abort()

    def _token(self, address: str) -> FoundToken:
        if self._is_address_given and address == self.default:
            return token_of(self._home, address)
        return token_of_named(self._home, address)
