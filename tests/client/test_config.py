"""Addresses and tokens: where they come from, and who can read them."""

from __future__ import annotations

import errno
import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lorary.client import Hub, InsecureTransport, config
from lorary.client.config import (
    DEFAULT_ENDPOINT,
    Credentials,
    endpoint_of,
    home_of,
    token_of,
    token_of_named,
)
from lorary.client.errors import NotFound, SettingInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.fakehub import FakeHub

HUB = "https://hub.example"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    del environment
    for name in ("LORARY_ENDPOINT", "LORARY_TOKEN", "LORARY_HOME"):
        monkeypatch.delenv(name)


def stored(home: Path) -> Credentials:
    credentials = Credentials(home / "credentials.json", HUB, {HUB: "lor_stored"})
    credentials.save()
    return credentials


def test_argument_wins_over_environment_over_file_over_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint_of(home) == DEFAULT_ENDPOINT
    assert token_of(home, HUB).secret == ""
    stored(home)
    assert endpoint_of(home) == HUB
    assert token_of(home, HUB).secret == "lor_stored"
    assert token_of(home, "https://other.example").secret == ""
    monkeypatch.setenv("LORARY_ENDPOINT", "http://env:8000/")
    monkeypatch.setenv("LORARY_TOKEN", "lor_env")
    assert endpoint_of(home) == "http://env:8000"
    assert token_of(home, HUB).secret == "lor_env"
    assert endpoint_of(home, "http://said") == "http://said"
    assert token_of(home, HUB, "lor_said").secret == "lor_said"


def test_hubs_on_one_server_get_only_their_own_token(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (f"{HUB}/{name}" for name in ("first", "second", "third"))
    with Credentials.changing(home) as credentials:
        credentials.endpoint = first
        credentials.tokens = {first: "lor_first", second: "lor_second"}
    hubs = (f"{first}/", second, third)
    assert [token_of_named(home, hub).secret for hub in hubs] == ["lor_first", "lor_second", ""]
    monkeypatch.setenv("LORARY_TOKEN", "lor_env")
    assert [token_of_named(home, hub).secret for hub in hubs] == ["lor_env", "lor_second", ""]
    monkeypatch.setenv("LORARY_ENDPOINT", "no address")
    assert token_of_named(home, first).secret == "lor_first"
    assert "lorary login" in token_of_named(home, third).place


def test_home_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home_of().name == ".lorary"
    monkeypatch.setenv("LORARY_HOME", str(tmp_path))
    assert home_of() == tmp_path
    assert home_of(tmp_path / "x") == tmp_path / "x"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_credentials_can_be_read_by_their_owner_only(home: Path) -> None:
    before = os.umask(0)
    try:
        credentials = stored(home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(credentials.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == [credentials.path]
    assert Credentials.load(home) == credentials


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"endpoint": "", "tokens": []}', "\xff"])
def test_damaged_credentials_are_said_to_be(home: Path, content: str) -> None:
    home.mkdir()
    (home / "credentials.json").write_text(content, encoding="latin-1")
    with pytest.raises(SettingInvalid, match="damaged"):
        Credentials.load(home)


def test_credentials_that_cannot_be_written_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingInvalid, match="cannot be written"):
        stored(tmp_path / "file")


def test_an_empty_token_means_none(
    home: Path, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "lor_env")
    assert token_of(home, HUB).secret == "lor_env"
    found = token_of(home, HUB, "")
    assert (found.secret, found.headers) == ("", {})
    assert "without one" in found.place
    with pytest.raises(NotFound, match="without one"), Hub(fake.url, "", home=home) as hub:
        hub.info("ada/none")
    assert "authorization" not in {name.casefold() for name in fake.seen[-1].headers}


@pytest.mark.parametrize("token", ["lor x", "lor\nX-Evil: 1", "lör", "a\x00"])
def test_token_that_could_break_a_header_is_refused(home: Path, token: str) -> None:
    with pytest.raises(SettingInvalid):
        token_of(home, HUB, token)


def test_token_over_plain_http_to_another_computer_warns() -> None:
    with pytest.warns(InsecureTransport, match="not encrypted") as told:
        Hub("http://hub.example", "lor_x")
    assert [one.filename for one in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hub("http://hub.example")
        Hub("https://hub.example", "lor_x")
        Hub("http://localhost:8000", "lor_x")


def test_where_a_token_was_is_said_without_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = token_of(home, HUB)
    assert none.place == f"If it is private, sign in first: lorary login --endpoint {HUB}"
    stored(home)
    found = [token_of(home, HUB)]
    monkeypatch.setenv("LORARY_TOKEN", "lor_env")
    found += [token_of(home, HUB), token_of(home, HUB, "lor_said")]
    words = [str(home / "credentials.json"), "LORARY_TOKEN", "that was passed"]
    for one, word in zip(found, words, strict=True):
        assert [other for other in words if other in one.place] == [word]
        assert "lor_" not in f"{one.place}{one!r}"


def test_of_a_token_that_is_none_it_is_said_where_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "lor x")
    with pytest.raises(SettingInvalid, match="LORARY_TOKEN") as caught:
        token_of(home, HUB)
    assert "lor x" not in caught.value.detail


def _remember(home: Path, number: int) -> None:
    with Credentials.changing(home) as credentials:
        credentials.tokens[f"https://{number}.example"] = "lor_x"


def test_changes_at_the_same_time_are_all_kept(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _remember(home, number), range(40)))
    assert len(Credentials.load(home).tokens) == 40


def test_a_file_system_without_locks_keeps_credentials(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(config, "exclusive", refuse)
    number = errno.ENOLCK
    _remember(home, 1)
    assert len(Credentials.load(home).tokens) == 1
    number = errno.EACCES
    with pytest.raises(SettingInvalid, match="cannot be written"):
        _remember(home, 2)
