"""Tokens in the keyring of the system, with a keyring in memory; and computers without one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.accounts import keyrings
from lorary.client.config import Credentials, token_for, token_of
from tests.client.fakehub import TOKEN

keyring = pytest.importorskip("keyring")
backend = pytest.importorskip("keyring.backend")
keyring_errors = pytest.importorskip("keyring.errors")
fail = pytest.importorskip("keyring.backends.fail")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


class Memory(backend.KeyringBackend):  # type: ignore[name-defined,misc]  # imported if it is there
    """A keyring that lasts as long as the test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._require_open()
        return self.rows.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._require_open()
        self.rows[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._require_open()
        del self.rows[service, username]

    def _require_open(self) -> None:
        if self.is_locked:
            message = "It is locked."
            raise keyring_errors.KeyringLocked(message)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    for name in ("LORARY_TOKEN", "LORARY_ENDPOINT"):
        monkeypatch.delenv(name)
    before, own = keyring.get_keyring(), Memory()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)


def signed_in(run: Run, fake: FakeHub) -> None:
    assert run("config", "set", "keyring", "on").out == "on\n"
    assert run("login", "--endpoint", fake.url, "--token", TOKEN).code == 0


def test_a_login_stores_its_token_there_and_not_in_the_file(
    run: Run, fake: FakeHub, home: Path, memory: Memory
) -> None:
    signed_in(run, fake)
    assert memory.rows == {(keyrings.SERVICE, fake.url): TOKEN}
    assert TOKEN not in (home / "credentials.json").read_text()
    assert run("whoami", "--json").document["name"] == "ada"
    assert token_for(f"{fake.url}/x").secret == TOKEN
    assert "the keyring" in token_of(home, fake.url).place
    assert run("hub", "list", "--json").document["signed_in"] is True
    assert run("logout", "--json").document["signed_out"] is True
    assert memory.rows == {}
    assert run("whoami").code == 4
    assert run("logout", "--json").document["signed_out"] is False


def test_a_token_that_cannot_be_stored_is_revoked(
    run: Run, fake: FakeHub, home: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("config", "set", "keyring", "on")
    codes = {
        "device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://x/y",
        "expires_in": 9, "interval": 1,
    }  # fmt: skip
    sent = {"device": codes, "token": {"access_token": TOKEN}, "revoke": None}
    for name, document in sent.items():
        fake.answers.append((f"/oauth/{name}", 200, {}, json.dumps(document).encode()))
    fake.answers.append(("/api/v1/tokens", 200, {}, b'{"results": []}'))
    monkeypatch.setattr(memory, "is_locked", True)
    assert run("login", "--endpoint", fake.url, "--no-browser").code == 2
    assert len(fake.requests("POST /oauth/revoke")) == 1
    assert Credentials.load(home).signed_in == ()


def test_a_token_moves_with_the_next_login(
    run: Run, fake: FakeHub, home: Path, memory: Memory
) -> None:
    signed_in(run, fake)
    run("config", "set", "keyring", "off")
    assert run("whoami").code == 0
    assert run("login", "--token", TOKEN).code == 0
    assert (memory.rows, Credentials.load(home).tokens) == ({}, {fake.url: TOKEN})
    run("config", "set", "keyring", "on")
    assert run("login", "--token", TOKEN).code == 0
    assert Credentials.load(home).signed_in == (fake.url,)
    assert (len(memory.rows), Credentials.load(home).tokens) == (1, {})


def test_a_locked_keyring_is_said_and_loses_nothing(
    run: Run, fake: FakeHub, home: Path, memory: Memory
) -> None:
    signed_in(run, fake)
    before = (home / "credentials.json").read_bytes()
    memory.is_locked = True
    for words in (["whoami"], ["logout"], ["login", "--token", TOKEN]):
        ran = run(*words)
        assert (ran.code, "The keyring cannot be used: It is locked. Unlock it" in ran.err) == (
            2, True,
        )  # fmt: skip
    assert (home / "credentials.json").read_bytes() == before
    run("config", "set", "keyring", "off")
    assert run("login", "--token", TOKEN).code == 0
    assert run("whoami").code == 0


def test_a_computer_without_a_keyring_is_told_what_to_do(
    run: Run, fake: FakeHub, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.set_keyring(fail.Keyring())
    refused = run("config", "set", "keyring", "on")
    assert (refused.code, "no keyring that can be used" in refused.err) == (2, True)
    monkeypatch.setenv("LORARY_KEYRING", "on")
    assert run("login", "--endpoint", fake.url, "--token", TOKEN).code == 2
    assert fake.seen == []
    monkeypatch.setitem(sys.modules, "keyring", None)
    missing = run("config", "set", "keyring", "on")
    assert "pip install 'lorary[keyring]'" in missing.err
    monkeypatch.setenv("LORARY_KEYRING", "perhaps")
    assert "neither “on” nor “off”" in run("config", "list").err


def test_the_file_of_an_older_client_is_read(home: Path, memory: Memory) -> None:
    home.mkdir()
    document = {"endpoint": "https://a.example", "tokens": {"https://a.example": "lor_a"}}
    (home / "credentials.json").write_text(json.dumps(document))
    assert Credentials.load(home).signed_in == ("https://a.example",)
    (home / "credentials.json").write_text(json.dumps({**document, "hubs": []}))
    with pytest.raises(errors.SettingInvalid, match="damaged"):
        Credentials.load(home)
