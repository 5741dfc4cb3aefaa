"""What is not for everyone: how to see it, and which servers are shown a token."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary.client import Hub, InsecureTransport, errors
from lorary.client.config import Credentials
from tests.client.fakehub import TOKEN, FakeHub, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NAME = "ada/private-thing"
FILE = f"/api/v1/adapters/{NAME}/versions/v1/files/noir.safetensors"


@pytest.fixture
def other() -> Iterator[FakeHub]:
    """A server that is no hub of ours."""
    with serving(FakeHub()) as hub:
        yield hub


@pytest.fixture
def weights_everywhere(fake: FakeHub, other: FakeHub, lora: Path) -> None:
    for hub in (fake, other):
        hub.publish(NAME, {"noir.safetensors": lora.read_bytes()})


def shown(hub: FakeHub) -> set[str | None]:
    """The credentials that a hub was shown."""
    return {seen.headers.get("Authorization") for seen in hub.seen}


@pytest.mark.parametrize("command", ["pull", "info", "versions"])
def test_what_is_not_found_without_a_token_may_be_private(
    run: Run, fake: FakeHub, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = b'{"code":"not_found","detail":"There is no such adapter."}'
    fake.answers = [("private-thing", 404, {}, missing)] * 4  # of the adapter and of a pack
    told = run(command, NAME)
    assert (told.code, told.err) == (3, "lorary: There is no such adapter.\n")
    monkeypatch.delenv("LORARY_TOKEN")
    told = run(command, NAME, "--json")
    hint = f"If it is private, sign in first: lorary login --endpoint {fake.url}"
    assert (told.code, told.err) == (3, f"lorary: There is no such adapter. {hint}\n")
    assert told.document["error"]["message"].endswith(hint)


def test_what_a_visible_adapter_lacks_is_not_private(
    run: Run, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORARY_TOKEN")
    said = b'{"code":"not_found","detail":"It has no version v9.","adapter":"ada/private-thing"}'
    fake.answers = [("v9", 404, {}, said)]
    told = run("info", f"{NAME}@v9")
    assert (told.code, told.err) == (3, "lorary: It has no version v9.\n")


def test_the_exception_says_it_too(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORARY_TOKEN")
    with Hub() as hub, pytest.raises(errors.NotFound, match="lorary login --endpoint"):
        hub.info(NAME)
    fake.answers = [("private-thing", 410, {}, b'{"code":"gone","detail":"Withdrawn."}')]
    with Hub() as hub, pytest.raises(errors.Gone, match=r"^Withdrawn\.$"):
        hub.info(NAME)


@pytest.mark.usefixtures("weights_everywhere")
def test_inspect_shows_the_token_to_its_own_hub_alone(
    run: Run, fake: FakeHub, other: FakeHub
) -> None:
    for hub in (fake, other):
        assert run("inspect", f"{hub.url}{FILE}", "--json").code == 0
        assert lorary.inspect(f"{hub.url}{FILE}").anatomy is not None
    assert shown(fake) == {f"Bearer {TOKEN}"}
    assert shown(other) == {None}


@pytest.mark.usefixtures("weights_everywhere")
def test_inspect_shows_another_hub_what_is_stored_for_it(
    run: Run, home: Path, other: FakeHub
) -> None:
    Credentials(home / "credentials.json", "", {other.url: "lor_other"}).save()
    assert run("inspect", f"{other.url}{FILE}").code == 0
    assert shown(other) == {"Bearer lor_other"}


@pytest.mark.usefixtures("weights_everywhere")
def test_inspect_leaves_the_token_behind_where_the_hub_leads_away(
    run: Run, fake: FakeHub, other: FakeHub
) -> None:
    fake.answers = [("files/", 302, {"Location": f"{other.url}{FILE}"}, b"")] * 2
    assert run("inspect", f"{fake.url}{FILE}").code == 0
    assert (shown(fake), shown(other)) == ({f"Bearer {TOKEN}"}, {None})


@pytest.mark.usefixtures("weights_everywhere")
def test_inspect_shows_no_proxy_the_token_of_a_hub_on_this_computer(
    run: Run, fake: FakeHub, other: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other.url)
    assert run("inspect", f"{fake.url}{FILE}").code == 0
    assert lorary.inspect(f"{fake.url}{FILE}").anatomy is not None
    assert (shown(fake), other.seen) == ({f"Bearer {TOKEN}"}, [])


def test_inspect_warns_where_others_can_read_the_token(
    run: Run, home: Path, other: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warned() -> list[str]:
        lines = run("inspect", *(f"{hub}{FILE}" for hub in hubs)).err.splitlines()
        return [line for line in lines if "not encrypted" in line]

    hubs = ["http://near.example", "http://far.example", "http://none.example"]
    monkeypatch.setenv("http_proxy", other.url)
    monkeypatch.setenv("LORARY_ENDPOINT", hubs[0])
    Credentials(home / "credentials.json", "", {hubs[1]: "lor_far"}).save()
    said = "is not encrypted: your token can be read on its way there."
    assert warned() == [f"lorary: warning: {hub} {said}" for hub in hubs[:2]]
    with (
        pytest.warns(InsecureTransport, match="near"),
        pytest.raises(OSError, match=r"near\.example"),
    ):
        lorary.inspect(f"{hubs[0]}{FILE}")
    monkeypatch.delenv("LORARY_TOKEN")
    home.joinpath("credentials.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warned() == []


@pytest.mark.usefixtures("weights_everywhere")
def test_settings_that_nobody_understands_fail_their_own_address_alone(
    run: Run, home: Path, fake: FakeHub, other: FakeHub, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORARY_ENDPOINT")
    home.mkdir()
    (home / "credentials.json").write_text("{")
    ran = run("inspect", f"{other.url}{FILE}", lora, "--json")
    refused, seen = ran.documents
    assert (ran.code, refused["error"]["code"]) == (2, "unreadable")
    assert "credentials.json is damaged" in refused["error"]["message"]
    assert seen["base"]["family"] == "sd1"
    with pytest.raises(errors.SettingInvalid):
        lorary.inspect(f"{other.url}{FILE}")
    monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
    assert run("inspect", f"{fake.url}{FILE}").code == 0  # which needs no stored token


@pytest.mark.usefixtures("weights_everywhere")
def test_inspect_needs_no_address_of_a_hub(
    run: Run, home: Path, fake: FakeHub, other: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_ENDPOINT", "garbage")
    stored = {"no URL": "lor_a", "http://[": "lor_b", fake.url: "lor_stored"}
    Credentials(home / "credentials.json", "", stored).save()
    for hub in (other, fake):
        assert run("inspect", f"{hub.url}{FILE}").code == 0
    assert (shown(other), shown(fake)) == ({None}, {"Bearer lor_stored"})
    stored[fake.url] = "lor stored"
    Credentials(home / "credentials.json", "", stored).save()
    ran = run("inspect", f"{fake.url}{FILE}", "--json")
    assert (ran.code, "invalid characters" in ran.document["error"]["message"]) == (2, True)


def test_inspect_tells_how_to_sign_in(
    run: Run, fake: FakeHub, other: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(hub: FakeHub) -> str:
        document = run("inspect", f"{hub.url}{FILE}", "--json").document
        return str(document["error"]["message"])

    assert "sign in" not in said(fake)
    assert "sign in" not in said(other)
    fake.answers = [("files/", 401, {}, b"")]
    assert "environment variable LORARY_TOKEN" in said(fake)
    fake.answers = [("files/", 403, {}, b"")]
    assert said(fake).endswith("Sign in, download the file, and inspect the local copy.")
    monkeypatch.delenv("LORARY_TOKEN")
    assert said(fake).endswith(f"sign in first: lorary login --endpoint {fake.url}")
