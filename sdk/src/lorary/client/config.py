"""Where this computer keeps what the client needs: the address, tokens, the cache.

LORARY_HOME (default ~/.lorary)
├── credentials.json    default address, a token for each address, and what `lorary config`
│                       remembers; readable by its owner only
├── credentials.lock    held by the process that changes it
└── cache/              see `lorary.client.transfers.cache`

An argument wins over the environment (LORARY_ENDPOINT, LORARY_TOKEN), which wins over the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lorary.client.errors import SettingInvalid
from lorary.client.names import check_endpoint
from lorary.client.transfers.cache import exclusive
from lorary.connections import Origin, is_loopback

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
#: Setting to its environment variable.
VARIABLES = MappingProxyType(
    {
        "hub": "LORARY_ENDPOINT",
        "layout": "LORARY_LAYOUT",
        "root": "LORARY_ROOT",
        "jobs": "LORARY_JOBS",
    }
)


class InsecureTransport(UserWarning):
    """A token travels without encryption to another computer."""


@dataclass(slots=True)
class Credentials:
    """The credentials file."""

    path: Path  # where it is
    endpoint: str = ""  # the default address; empty when never set
    tokens: dict[str, str] = field(default_factory=dict)  # address to token
    settings: dict[str, str] = field(default_factory=dict)  # key to value, without the hub

    def setting(self, key: str) -> str:
        """Return a value that is remembered; empty if there is none."""
        return self.endpoint if key == "hub" else self.settings.get(key, "")

    def set(self, key: str, value: str) -> None:
        """Remember a value; an empty one is forgotten."""
        if key == "hub":
            self.endpoint = value
        else:
            self.settings = {**self.settings, key: value}

    @classmethod
    def load(cls, home: Path) -> Credentials:
        """Read the file; a missing one is empty.

        Raises:
            SettingInvalid: it cannot be read or is not what ``save`` writes.
        """
        path = home / "credentials.json"
        try:
            document = json.loads(path.read_bytes())
            tokens = {str(key): str(value) for key, value in document["tokens"].items()}
            settings = {str(k): str(value) for k, value in document.get("settings", {}).items()}
            return cls(path, str(document["endpoint"]), tokens, settings)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}."
            raise SettingInvalid(msg) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path} is damaged. Delete it and sign in again."
            raise SettingInvalid(msg) from error

    @classmethod
    @contextlib.contextmanager
    def changing(cls, home: Path) -> Iterator[Credentials]:
        """Yield the credentials, and save them at the end; other processes wait meanwhile.

        Raises:
            SettingInvalid: the file cannot be read or written.
        """
        with contextlib.ExitStack() as stack:
            try:
                home.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(exclusive(home / "credentials.lock"))
            except OSError as error:
                msg = f"{home / 'credentials.json'} cannot be written: {error.strerror}."
                raise SettingInvalid(msg) from error
            credentials = cls.load(home)
            yield credentials
            credentials.save()

    def save(self) -> None:
        """Replace the file in one step; it is never readable by other users.

        Raises:
            SettingInvalid: it cannot be written.
        """
        part = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        settings = {key: value for key, value in self.settings.items() if value}
        document = {"endpoint": self.endpoint, "tokens": self.tokens, "settings": settings}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
            part.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            msg = f"{self.path} cannot be written: {error.strerror}."
            raise SettingInvalid(msg) from error


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token, and where it was found.

    Attributes:
        secret: The token; empty if there is none.
        place: Where it was found and what to do if the hub refuses it, without the
            secret.
            Without a token, how to sign in; empty for a server that is not a known hub.
    """

    secret: str = field(default="", repr=False)
    place: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a request with this token."""
        return {"Authorization": f"Bearer {self.secret}"} if self.secret else {}


def home_of(home: str | os.PathLike[str] | None = None) -> Path:
    """Return the client's folder.

    Raises:
        SettingInvalid: there is no home directory to put it in.
    """
    given = home or os.environ.get("LORARY_HOME", "").strip()
    try:
        return Path(given).expanduser().absolute() if given else Path.home() / ".lorary"
    except RuntimeError as error:
        msg = "Set LORARY_HOME: there is no home directory."
        raise SettingInvalid(msg) from error


def from_environment(key: str) -> str:
    """Return the value that the environment gives to a setting; empty if it gives none."""
    return os.environ.get(VARIABLES[key], "").strip()


def endpoint_of(home: Path, endpoint: str | None = None) -> str:
    """Return the hub's address.

    Raises:
        SettingInvalid: what was given is not an address.
    """
    given = endpoint or from_environment("hub")
    return check_endpoint(given or Credentials.load(home).endpoint or DEFAULT_ENDPOINT)


def token_of(home: Path, endpoint: str, token: str | None = None) -> FoundToken:
    """Return the token for an address; warn if it would be sent unencrypted.

    Raises:
        SettingInvalid: the token contains invalid characters.
    """
    return _checked_token(_found(home, endpoint, token), endpoint)


def _checked_token(found: FoundToken, endpoint: str) -> FoundToken:
    """Return a token that may be sent to an address, or raise SettingInvalid."""
    secret = found.secret
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        msg = f"The token contains invalid characters. {found.place}"
        raise SettingInvalid(msg)
    origin = Origin.of(endpoint)
    if secret and origin.scheme == "http" and not is_loopback(origin.host):
        message = f"{endpoint} is not encrypted: your token can be read on its way there."
        warnings.warn(message, InsecureTransport, stacklevel=4)  # the caller of `Hub` or `inspect`
    return found


def _found(home: Path, endpoint: str, token: str | None = None) -> FoundToken:
    if token:
        place = (
            "The token was passed to this call (token=, --token or typed in). "
            f"Create another at {endpoint}/settings/tokens."
        )
        return FoundToken(token, place)
    if secret := os.environ.get("LORARY_TOKEN", "").strip():
        place = (
            "The token is from the environment variable LORARY_TOKEN: set it to another "
            "token, or unset it to use the one stored by `lorary login`."
        )
        return FoundToken(secret, place)
    return _stored(Credentials.load(home), endpoint)


def _stored(credentials: Credentials, endpoint: str) -> FoundToken:
    if secret := credentials.tokens.get(endpoint, ""):
        place = (
            f"The token is the one stored in {credentials.path}: "
            f"sign in again with `lorary login --endpoint {endpoint}`."
        )
        return FoundToken(secret, place)
    return FoundToken(place=f"If it is private, sign in first: lorary login --endpoint {endpoint}")


def token_for(url: str) -> FoundToken:
    """Return the token for a URL; an empty one if the URL is not of a known hub.

    LORARY_TOKEN is used only for the hub in use; other hubs use their stored tokens.
    If the address of the hub in use is invalid, no hub is in use.

    Raises:
        SettingInvalid: the stored tokens cannot be read, or the token is invalid.
    """
    origin = _origin_of(url.strip())
    if origin is None:
        return FoundToken()
    home = home_of()
    try:
        endpoint = endpoint_of(home)
    except SettingInvalid:
        endpoint = ""
    if _origin_of(endpoint) == origin:
        return _checked_token(_found(home, endpoint), endpoint)
    credentials = Credentials.load(home)
    for other in credentials.tokens:
        if _origin_of(other) == origin:
            return _checked_token(_stored(credentials, other), other)
    return FoundToken()


def _origin_of(url: str) -> Origin | None:
    try:
        return Origin.of(url)
    except ValueError:
        return None
