"""Where this computer keeps what the client needs: the address, tokens, the cache.

LORARY_HOME (default ~/.lorary)
├── credentials.json    default address, a token for each address, names of hubs, and what
│                       `lorary config` remembers; readable by its owner only
├── credentials.lock    held by the process that changes credentials.json
└── cache/              see `lorary.client.transfers.cache`

With ``lorary config set keyring on``, tokens are in the keyring of the operating system instead;
the file then lists only the addresses that have one.

An argument wins over the environment (LORARY_ENDPOINT, LORARY_TOKEN), which wins over the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from lorary.client.accounts import keyrings
from lorary.client.errors import SettingInvalid
from lorary.client.names import check_endpoint, is_hub_name
from lorary.connections import Origin, is_loopback
from lorary.file_locks import exclusive
from lorary.replacing import replacement

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
#: Setting to its environment variable.
VARIABLES = MappingProxyType(
    {
        "hub": "LORARY_ENDPOINT",
        "layout": "LORARY_LAYOUT",
        "root": "LORARY_ROOT",
        "jobs": "LORARY_JOBS",
        "keyring": "LORARY_KEYRING",
    }
)


#: Errors of file systems that have no locks, as some of clusters; the file is replaced whole there
#: too, and only changes at the same time can be lost.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP})


class InsecureTransport(UserWarning):
    """A token travels without encryption to another computer."""


@dataclass(slots=True)
class Credentials:
    """The credentials file.

    Attributes:
        path: Where it is.
        endpoint: The default address; empty when never set.
        tokens: Address to token, of those in this file.
        settings: Key to value, without the hub.
        hubs: Name to address.
        in_keyring: Addresses whose tokens are in the keyring.
        by_browser: Addresses whose tokens `lorary login` made, by browser.
    """

    path: Path
    endpoint: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    hubs: dict[str, str] = field(default_factory=dict)
    in_keyring: list[str] = field(default_factory=list)
    by_browser: list[str] = field(default_factory=list)

    def setting(self, key: str) -> str:
        """Return a value that is remembered; empty if there is none."""
        return self.endpoint if key == "hub" else self.settings.get(key, "")

    def set(self, key: str, value: str) -> None:
        """Remember a value; an empty one is forgotten."""
        if key == "hub":
            self.endpoint = value
        else:
            self.settings = {**self.settings, key: value}

    @property
    def signed_in(self) -> tuple[str, ...]:
        """The addresses that have a token."""
        return (*self.tokens, *self.in_keyring)

    def token(self, address: str) -> str:
        """Return the stored token of an address; empty if there is none.

        Raises:
            SettingInvalid: it is in the keyring, which cannot be read.
        """
        if address in self.in_keyring:
            return keyrings.read(address)
        return self.tokens.get(address, "")

    def keep_token(
        self, address: str, secret: str, *, is_keyring: bool, is_by_browser: bool = False
    ) -> None:
        """Store the token of an address, in the keyring or in this file.

        Raises:
            SettingInvalid: there is no keyring, or it cannot be written.
        """
        if is_keyring:
            keyrings.write(address, secret)
            self.tokens.pop(address, None)
            self.in_keyring = sorted({*self.in_keyring, address})
        else:
            with contextlib.suppress(SettingInvalid):  # a keyring that cannot be used any more
                self.drop_token(address)
            self.in_keyring = [other for other in self.in_keyring if other != address]
            self.tokens[address] = secret
        others = set(self.by_browser) - {address}
        self.by_browser = sorted({*others, address} if is_by_browser else others)

    def drop_token(self, address: str) -> bool:
        """Delete the stored token of an address, and return whether there was one.

        Raises:
            SettingInvalid: it is in the keyring, which cannot be written.
        """
        was_there = address in self.signed_in
        if address in self.in_keyring:
            keyrings.delete(address)
            self.in_keyring = [other for other in self.in_keyring if other != address]
        self.tokens.pop(address, None)
        self.by_browser = [other for other in self.by_browser if other != address]
        return was_there

    @classmethod
    @contextlib.contextmanager
    def changing(cls, home: Path) -> Iterator[Credentials]:
        """Yield the content of the file and save it afterwards; other processes wait meanwhile.

        Raises:
            SettingInvalid: the file cannot be read or written; it is left as it was.
        """
        with contextlib.ExitStack() as stack:
            lock = home / "credentials.lock"
            try:
                home.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(exclusive(lock))
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    msg = f"{lock} cannot be written: {error.strerror}."
                    raise SettingInvalid(msg) from error
            credentials = cls.load(home)
            yield credentials
            credentials.save()

    @classmethod
    def load(cls, home: Path) -> Credentials:
        """Read the file; a missing one is empty.

        Raises:
            SettingInvalid: it cannot be read or is not what ``save`` writes.
        """
        path = home / "credentials.json"
        try:
            document = json.loads(path.read_bytes())
            tokens, settings, hubs = (
                {str(key): str(value) for key, value in table.items()}
                for table in (
                    document["tokens"],
                    document.get("settings", {}),
                    document.get("hubs", {}),
                )
            )
            in_keyring, by_browser = (
                [str(address) for address in document.get(key, [])]
                for key in ("in_keyring", "by_browser")
            )
            endpoint = str(document["endpoint"])
            return cls(path, endpoint, tokens, settings, hubs, in_keyring, by_browser)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}."
            raise SettingInvalid(msg) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path} is damaged. Delete it and sign in again."
            raise SettingInvalid(msg) from error

    def save(self) -> None:
        """Replace the file in one step; it is never readable by other users.

        Raises:
            SettingInvalid: it cannot be written.
        """
        document = {
            "endpoint": self.endpoint,
            "tokens": self.tokens,
            "settings": {key: value for key, value in self.settings.items() if value},
            "hubs": self.hubs,
            "in_keyring": self.in_keyring,
            "by_browser": self.by_browser,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with replacement(self.path) as part:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=2)
                    file.write("\n")
        except OSError as error:
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
        unsent: That LORARY_TOKEN is not sent, and how to send it; empty if there is nothing to say.
    """

    secret: str = field(default="", repr=False)
    place: str = ""
    unsent: str = ""

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

    Args:
        home: The client's folder.
        endpoint: An address, or the name of a hub; by default that of the environment.

    Raises:
        SettingInvalid: what was given is not an address, and no hub has this name.
    """
    given = endpoint or from_environment("hub")
    if is_hub_name(given):
        return _named(Credentials.load(home), given)
    return check_endpoint(given or Credentials.load(home).endpoint or DEFAULT_ENDPOINT)


def is_hub_chosen(home: Path) -> bool:
    """Return whether the environment, `lorary hub use` or a login says which hub is in use.

    Raises:
        SettingInvalid: the stored settings cannot be read.
    """
    return bool(from_environment("hub") or Credentials.load(home).endpoint)


def _named(credentials: Credentials, name: str) -> str:
    if name in credentials.hubs:
        return check_endpoint(credentials.hubs[name])
    listed = f"Known hubs: {', '.join(sorted(credentials.hubs))}. " if credentials.hubs else ""
    msg = (
        f"This computer has no hub with the name “{name}”. {listed}"
        f"Add it with `lorary hub add {name} https://…`."
    )
    raise SettingInvalid(msg)


def token_of(home: Path, endpoint: str, token: str | None = None) -> FoundToken:
    """Return the token for an address; warn if it would be sent unencrypted.

    Args:
        token: The token to use; empty for none, None to look for one.

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
    if secret:
        warn_if_unencrypted(endpoint, stacklevel=5)  # the caller of `Hub` or `inspect`
    return found


def warn_if_unencrypted(endpoint: str, *, stacklevel: int = 2) -> None:
    """Warn if a token would travel without encryption to another computer."""
    origin = Origin.of(endpoint)
    if origin.scheme == "http" and not is_loopback(origin.host):
        message = f"{endpoint} is not encrypted: your token can be read on its way there."
        warnings.warn(message, InsecureTransport, stacklevel=stacklevel)


def _environment_token() -> str:
    return os.environ.get("LORARY_TOKEN", "").strip()


def _found(home: Path, endpoint: str, token: str | None = None) -> FoundToken:
    if token == "":
        return FoundToken(
            place="If it is private, pass a token: this client was created without one."
        )
    if token is not None:
        place = (
            "It is the token that was passed, not a stored one: "
            f"create another at {endpoint}/settings/tokens."
        )
        return FoundToken(token, place)
    if secret := _environment_token():
        place = (
            "The token is from the environment variable LORARY_TOKEN: set it to another "
            "token, or unset it to use the one stored by `lorary login`."
        )
        return FoundToken(secret, place)
    return _stored(Credentials.load(home), endpoint)


def _stored(credentials: Credentials, endpoint: str) -> FoundToken:
    if secret := credentials.token(endpoint):
        is_keyring = endpoint in credentials.in_keyring
        place = (
            f"The token is the one stored in {'the keyring' if is_keyring else credentials.path}: "
            f"sign in again with `lorary login --endpoint {endpoint}`."
        )
        return FoundToken(secret, place)
    return FoundToken(place=f"If it is private, sign in first: lorary login --endpoint {endpoint}")


def token_of_named(home: Path, address: str) -> FoundToken:
    """Return the token for a hub that a name, a reference or a project chooses.

    LORARY_TOKEN is used only if it is the hub in use: it must not be sent to another hub, not even
    to one on the same server.

    Raises:
        SettingInvalid: the stored tokens cannot be read, or the token is invalid.
    """
    address = check_endpoint(address)
    if address == _in_use(home):
        return _checked_token(_found(home, address), address)
    found = _stored(Credentials.load(home), address)
    if not found.secret and _environment_token():
        what_to_do = "set LORARY_ENDPOINT to this address, too."
        found = replace(found, unsent=f"LORARY_TOKEN was not sent to {address}: {what_to_do}")
    return _checked_token(found, address)


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
    endpoint = _in_use(home)
    if _origin_of(endpoint) == origin:
        return _checked_token(_found(home, endpoint), endpoint)
    credentials = Credentials.load(home)
    for other in credentials.signed_in:
        if _origin_of(other) == origin:
            return _checked_token(_stored(credentials, other), other)
    return FoundToken()


def _in_use(home: Path) -> str:
    """Return the address of the hub in use; empty if it is invalid."""
    try:
        return endpoint_of(home)
    except SettingInvalid:
        return ""


def _origin_of(url: str) -> Origin | None:
    try:
        return Origin.of(url)
    except ValueError:
        return None
