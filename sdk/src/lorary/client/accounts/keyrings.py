"""Tokens in the keyring of the operating system, by ``pip install 'lorary[keyring]'``."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from lorary.client.errors import SettingInvalid

#: Name under which the keyring lists the tokens.
SERVICE = "lorary"
_UNUSABLE = frozenset({"keyring.backends.fail", "keyring.backends.null"})
_OTHERWISE = "`lorary config set keyring off` stores tokens in a file that only you can read."


def read(address: str) -> str:
    """Return the token of an address; empty if there is none.

    Raises:
        SettingInvalid: there is no keyring, or it is locked.
    """
    with _opened() as keyring:
        return keyring.get_password(SERVICE, address) or ""


def write(address: str, secret: str) -> None:
    """Store the token of an address. Raises SettingInvalid: see `read`."""
    with _opened() as keyring:
        keyring.set_password(SERVICE, address, secret)


def delete(address: str) -> None:
    """Delete the token of an address, if there is one. Raises SettingInvalid: see `read`."""
    with _opened() as keyring:
        if keyring.get_password(SERVICE, address) is not None:
            keyring.delete_password(SERVICE, address)


def require() -> None:
    """Make sure that there is a keyring. Raises SettingInvalid: there is none."""
    with _opened():
        pass


@contextlib.contextmanager
def _opened() -> Iterator[Any]:
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ModuleNotFoundError as error:
        msg = f"The keyring needs pip install 'lorary[keyring]'. {_OTHERWISE}"
        raise SettingInvalid(msg) from error
    if type(keyring.get_keyring()).__module__ in _UNUSABLE:
        msg = f"This computer has no keyring that can be used. {_OTHERWISE}"
        raise SettingInvalid(msg)
    try:
        yield keyring
    except errors.KeyringError as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        msg = f"The keyring cannot be used: {reason}. Unlock it, or do without it: {_OTHERWISE}"
        raise SettingInvalid(msg) from error
