"""lorary login by browser: what the client asks, how long it waits, and what it believes."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from lorary.client import errors
from lorary.client.accounts import browser_login
from lorary.client.config import Credentials
from lorary.client.http.session import Session
from tests.client.conftest import CLI
from tests.client.fakehub import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

CODES: dict[str, Any] = {
    "device_code": "d" * 43, "user_code": "WDJB-MJHT",
    "verification_uri": "https://hub.example/signin/device",
    "verification_uri_complete": "https://hub.example/signin/device?user_code=WDJB-MJHT",
    "expires_in": 900, "interval": 1,
}  # fmt: skip


class Terminal(io.StringIO):
    """A standard input that a person types to."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def session(fake: FakeHub, waits: list[float]) -> Session:
    del waits
    return Session(fake.url)


def answers(fake: FakeHub, name: str, *documents: tuple[int, Any]) -> None:
    """Have the hub answer at ``/oauth/NAME``, in order."""
    for status, document in documents:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = "text/html" if isinstance(document, bytes) else "application/json"
        fake.answers.append((f"/oauth/{name}", status, {"Content-Type": kind}, body))


def refused(error: str) -> tuple[int, dict[str, str]]:
    return 400, {"error": error, "error_description": f"The reason is {error}."}


def begun(session: Session, fake: FakeHub, **more: Any) -> browser_login.Login:
    answers(fake, "device", (200, {**CODES, **more}))
    login = browser_login.begin(session, "ada-laptop")
    assert login is not None
    return login


def test_the_token_comes_when_it_is_allowed(session: Session, fake: FakeHub) -> None:
    answers(fake, "device", (200, CODES))
    login = browser_login.begin(session, "ada\x1b-laptop" + "x" * 99, ["read"])
    assert login is not None
    assert (login.code, login.page_with_code) == (
        CODES["user_code"], CODES["verification_uri_complete"],
    )  # fmt: skip
    allowed = (200, {"access_token": TOKEN, "token_type": "Bearer"})
    slow, busy = refused("slow_down"), (429, {"code": "rate_limited", "detail": "Wait."})
    early = [refused("authorization_pending"), slow, (502, b""), slow, *[busy] * 5]
    answers(fake, "token", *early, allowed)
    waited: list[float] = []
    assert browser_login.wait(session, login, sleep=waited.append) == TOKEN
    assert waited == [1, 1, 6, 11, 11]
    first, *later = fake.requests("POST /oauth")
    assert parse_qs(first.body.decode()) == {
        "client_id": ["lorary"], "device_name": [f"ada-laptop{'x' * 54}"], "scope": ["read"],
    }  # fmt: skip
    assert parse_qs(later[0].body.decode())["device_code"] == [CODES["device_code"]]
    assert not any("Authorization" in seen.headers for seen in fake.seen)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (refused("access_denied"), errors.Forbidden, "The reason is access_denied."),
        (refused("expired_token"), errors.Unauthenticated, "expired or has already been used"),
        (refused("invalid_grant"), errors.Unauthenticated, "expired or has already been used"),
        (refused("invalid_client"), errors.Invalid, "The reason is invalid_client."),
        ((200, {"token_type": "Bearer"}), errors.BadAnswer, "no token"),
        ((200, []), errors.BadAnswer, "valid token"),
        ((404, b"nothing"), errors.NotFound, "does not exist"),
    ],
)
def test_every_end_without_a_token_is_said(
    session: Session, fake: FakeHub, answer: Any, error: type[Exception], message: str
) -> None:
    login = begun(session, fake)
    answers(fake, "token", answer)
    with pytest.raises(error, match=message):
        browser_login.wait(session, login, sleep=lambda _: None)


def test_a_hub_that_restarts_meanwhile_is_asked_again(session: Session, fake: FakeHub) -> None:
    login = begun(session, fake)
    answers(fake, "token", *[(503, b"")] * 6, (200, {"access_token": TOKEN}))
    assert browser_login.wait(session, login, sleep=lambda _: None) == TOKEN


def test_a_code_that_has_expired_is_not_asked_for(session: Session, fake: FakeHub) -> None:
    login = begun(session, fake, expires_in=0)
    with pytest.raises(errors.Unauthenticated):
        browser_login.wait(session, login)


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"code": "not_found", "detail": "No."}),
        (403, b"<html>CSRF verification failed."),
        (405, b""),
        (200, b"<html>Welcome"),
        (200, {"hello": "there"}),
    ],
)
def test_a_hub_without_such_a_sign_in_is_recognised(
    session: Session, fake: FakeHub, answer: Any
) -> None:
    answers(fake, "device", answer)
    assert browser_login.begin(session, "laptop") is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused("invalid_scope"), errors.Invalid),
        ((401, {"code": "not_authenticated"}), errors.Unauthenticated),
        ((500, b""), errors.ServerFault),
        ((301, b""), errors.BadAnswer),
    ],
)
def test_another_refusal_is_no_old_hub(
    session: Session, fake: FakeHub, answer: Any, error: type[Exception]
) -> None:
    answers(fake, "device", answer)
    with pytest.raises(error):
        browser_login.begin(session, "laptop")


@pytest.mark.parametrize(
    "page", ["", "javascript:alert(1)", "file:///etc/passwd", "https://x/\x1b[2J", "https://x y"]
)
def test_no_browser_is_sent_to_what_is_no_page(session: Session, fake: FakeHub, page: str) -> None:
    for name in ("verification_uri", "verification_uri_complete"):
        answers(fake, "device", (200, {**CODES, name: page or 7}))
        with pytest.raises(errors.BadAnswer):
            browser_login.begin(session, "laptop")


def test_a_hub_cannot_have_the_client_wait_for_days(session: Session, fake: FakeHub) -> None:
    login = begun(session, fake, interval=10**9, expires_in=10**9)
    assert (login.interval_s, login.lifetime_s) == (60, 3600)
    assert begun(session, fake, interval=0).interval_s == 5


LISTED = {"name": "x", "scopes": [], "prefix": TOKEN[:8]}


@pytest.mark.parametrize(
    ("listed", "made"),
    [
        ([{"id": 1, **LISTED}, {"id": 2, **LISTED, "prefix": "lor_xxxx"}], 0),
        ([{"id": 1, **LISTED}, {"id": 2, "parent_id": 1}, {"id": 3, "parent_id": 4}], 1),
    ],
)
def test_a_token_with_which_others_were_created_is_not_revoked(
    fake: FakeHub, listed: list[Any], made: int
) -> None:
    fake.answers.append(("/api/v1/tokens", 200, {}, json.dumps({"results": listed}).encode()))
    answers(fake, "revoke", (200, b""))
    assert browser_login.revoke(Session(fake.url, TOKEN), TOKEN) == made
    sent = [parse_qs(seen.body.decode()) for seen in fake.requests("POST /oauth/revoke")]
    assert sent == ([] if made else [{"token": [TOKEN]}])


def test_a_token_that_has_ended_needs_no_revocation(fake: FakeHub) -> None:
    fake.answers.append(("/api/v1/tokens", 401, {}, b'{"code": "token_expired"}'))
    assert browser_login.revoke(Session(fake.url, "lor_dead"), "lor_dead") == 0
    assert not fake.requests("POST")


@pytest.fixture
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORARY_TOKEN")


def test_login_without_a_browser_needs_no_terminal(
    no_token: None, run: Run, fake: FakeHub, home: Path
) -> None:
    answers(fake, "device", (200, CODES))
    answers(fake, "token", (200, {"access_token": TOKEN}))
    ran = run("login", "--no-browser", "--scopes", "read, write", "--json")
    assert ran.document == {"endpoint": fake.url, "name": "ada", "scopes": ["read", "write"]}
    assert f"Open   {CODES['verification_uri_complete']}\nCode   WDJB-MJHT\n" in ran.err
    assert Credentials.load(home).tokens == {fake.url: TOKEN}
    assert Credentials.load(home).by_browser == [fake.url]
    (first, *_) = fake.requests("POST /oauth/device")
    assert parse_qs(first.body.decode())["scope"] == ["read write"]


@pytest.mark.parametrize(
    ("status", "message"),
    [(200, ""), (404, "does not exist"), (500, "The hub failed")],
)
def test_logout_revokes_the_token_of_a_login_or_says_that_it_stays_valid(
    no_token: None, run: Run, fake: FakeHub, home: Path, status: int, message: str
) -> None:
    with Credentials.changing(home) as credentials:
        credentials.keep_token(fake.url, TOKEN, is_keyring=False, is_by_browser=True)
    fake.answers.append(("/api/v1/tokens", 200, {}, b'{"results": []}'))
    answers(fake, "revoke", (status, b""))
    ran = run("logout")
    assert (ran.code, "The token is revoked." in ran.out) == (0, not message)
    assert (f"until you revoke it at {fake.url}/settings/tokens" in ran.err) == bool(message)
    assert message in ran.err
    assert Credentials.load(home).signed_in == ()
    assert Credentials.load(home).by_browser == []


def test_logout_works_offline(
    no_token: None, run: Run, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Credentials.changing(home) as credentials:
        credentials.keep_token(fake.url, TOKEN, is_keyring=False, is_by_browser=True)
    monkeypatch.setenv("LORARY_OFFLINE", "1")
    ran = run("logout", "--json")
    assert ran.document == {"endpoint": fake.url, "signed_out": True, "revoked": False}
    assert "stays valid" in ran.err
    assert (fake.seen, Credentials.load(home).signed_in) == ([], ())


def test_login_warns_before_it_sends_anything_without_encryption(
    no_token: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_OFFLINE", "1")
    ran = run("login", "--no-browser", "--endpoint", "http://hub.example")
    assert (ran.code, ran.err.count("http://hub.example is not encrypted")) == (3, 1)


def test_an_end_of_input_at_the_prompt_for_a_token_is_said(
    no_token: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_words: object) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", ended)
    ran = run("login", "--token", "--json")
    assert (ran.code, ran.document["error"]) == (2, {"code": "usage", "message": "no token given"})


def test_a_denied_login_stores_nothing(no_token: None, run: Run, fake: FakeHub, home: Path) -> None:
    answers(fake, "device", (200, CODES))
    answers(fake, "token", refused("access_denied"))
    ran = run("login", "--no-browser", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (4, "forbidden")
    assert not (home / "credentials.json").exists()


@pytest.mark.parametrize("words", [["--no-browser"], ["--scopes", "read"]])
def test_options_of_the_browser_and_a_token_do_not_go_together(run: Run, words: list[str]) -> None:
    assert run("login", "--token", TOKEN, *words).code == 2


def on_a_terminal(
    environment: dict[str, str], *words: str, typed: bytes = b"", **more: str
) -> tuple[int, str]:
    """Run a login as a person does, and return its exit code and the screen."""
    kept = {k: v for k, v in environment.items() if k not in {"LORARY_TOKEN", "DISPLAY", "BROWSER"}}
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*CLI, "login", *words], stdin=slave, stdout=slave, stderr=slave,
        env={**kept, **more}, close_fds=True, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    screen = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:
            break
        screen += block
        if typed and b"Token: " in screen:
            os.write(master, typed)
            typed = b""
    os.close(master)
    return process.wait(20), screen.decode().replace("\r", "")


def test_on_a_terminal_the_browser_opens(
    fake: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    answers(fake, "device", (200, CODES))
    answers(fake, "token", refused("authorization_pending"), (200, {"access_token": TOKEN}))
    code, screen = on_a_terminal(environment, BROWSER=str(browser))
    assert (code, "Your browser opens this page." in screen) == (0, True)
    assert f"Signed in to {fake.url} as ada." in screen
    assert (tmp_path / "opened").read_text() == f"{CODES['verification_uri_complete']}\n"


def test_on_a_server_only_the_address_is_shown(fake: FakeHub, environment: dict[str, str]) -> None:
    answers(fake, "device", (200, CODES))
    answers(fake, "token", (200, {"access_token": TOKEN}))
    code, screen = on_a_terminal(environment)
    assert (code, "WDJB-MJHT" in screen, "browser opens" in screen) == (0, True, False)


@pytest.mark.parametrize("words", [[], ["--token"]])
def test_a_token_is_asked_for_by_an_older_hub_and_by_the_option(
    fake: FakeHub, environment: dict[str, str], words: list[str]
) -> None:
    code, screen = on_a_terminal(environment, *words, typed=f"{TOKEN}\n".encode())
    assert code == 0
    assert ("has no sign-in by browser: it is an older hub, or not a hub" in screen) == (not words)
    assert f"Create a token at {fake.url}/settings/tokens" in screen
    assert TOKEN not in screen
    assert bool(fake.requests("POST /oauth")) == (not words)
