"""Retries, redirects, tokens, connections."""

from __future__ import annotations

import datetime as dt
import email.utils
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lorary import connections
from lorary.client import Hub, errors
from lorary.client.http.retries import Again, Backoff
from lorary.client.http.session import Request, Session
from tests.client.fakehub import TOKEN, FakeHub, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def session(fake: FakeHub, pauses: list[float]) -> Iterator[Session]:
    client = Session(fake.url, TOKEN, timeout_s=5, backoff=Backoff(sleep=pauses.append))
    yield client
    client.close()


def test_busy_hub_is_asked_again_after_the_time_it_names(
    fake: FakeHub, session: Session, pauses: list[float]
) -> None:
    fake.answers = [("me", 503, {"Retry-After": "7"}, b""), ("me", 429, {"Retry-After": "3"}, b"")]
    account = session.json("GET", "me")
    assert isinstance(account, dict)
    assert account["name"] == "ada"
    assert pauses == [7, 3]


def test_hub_that_stays_busy_is_given_up(
    fake: FakeHub, session: Session, pauses: list[float]
) -> None:
    fake.answers = [("me", 502, {}, b"")] * 9
    with pytest.raises(errors.ServerFault):
        session.json("GET", "me")
    assert len(fake.seen) == 5
    assert len(pauses) == 4
    assert pauses[0] <= 0.25
    assert pauses[3] <= 2


def test_long_wait_is_left_to_the_caller(fake: FakeHub, session: Session) -> None:
    fake.answers = [("me", 429, {"Retry-After": "3600"}, b"")]
    with pytest.raises(errors.RateLimited) as caught:
        session.json("GET", "me")
    assert caught.value.facts == {"retry_after": 3600}
    assert len(fake.seen) == 1


def test_refusal_is_not_repeated(fake: FakeHub, session: Session) -> None:
    with pytest.raises(errors.NotFound):
        session.json("GET", "nothing")
    assert len(fake.seen) == 1


def test_only_the_hub_that_was_sent_a_token_can_refuse_it(fake: FakeHub) -> None:
    client = Session(fake.url, TOKEN, token_place="It was in a drawer.")
    refused: tuple[int, dict[str, str], bytes] = (401, {}, b'{"detail": "No"}')
    with serving(FakeHub()) as bucket:
        fake.answers = [("me", *refused), ("me", 302, {"Location": f"{bucket.url}/me"}, b"")]
        bucket.answers = [("me", *refused)]
        with pytest.raises(errors.Unauthenticated) as here:
            client.json("GET", "me")
        with pytest.raises(errors.Unauthenticated) as there:
            client.json("GET", "me")
    client.close()
    assert (here.value.detail, str(here.value)) == ("No. It was in a drawer.",) * 2
    assert there.value.detail == "No"


def test_write_of_unknown_effect_is_repeated_only_where_that_is_harmless(
    fake: FakeHub, session: Session
) -> None:
    fake.answers = [("tokens", 504, {}, b"")]
    with pytest.raises(errors.ServerFault):
        session.json("POST", "tokens", data={})
    assert len(fake.seen) == 1
    fake.answers = [("inspect", 504, {}, b"")]
    session.json("POST", "inspect", data={}, is_repeatable=True)
    assert len(fake.seen) == 3


def test_what_a_repeated_attempt_finds_may_be_made_by_the_first(
    fake: FakeHub, session: Session
) -> None:
    found: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
    fake.answers = [("inspect", *found), ("inspect", 201, {}, b"{}")]
    assert session.create("inspect", {}) == ({}, True)
    assert session.create("inspect", {}) == ({}, False)
    fake.answers = [("inspect", 504, {}, b""), ("inspect", *found)]
    assert session.create("inspect", {}) == ({}, False)


def test_connection_is_kept(fake: FakeHub, session: Session) -> None:
    for _ in range(5):
        session.json("GET", "me")
    assert len(session._connections._opened) == 1
    assert fake.seen[0].headers["User-Agent"].startswith("lorary/")


def test_connection_that_went_stale_is_replaced_even_for_a_write() -> None:
    """A server closes an idle connection; the next request must not fail because of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answered = []

        def serve() -> None:
            for _ in range(2):
                client, _address = listener.accept()
                with client:
                    answered.append(client.recv(65536).split(b"\r\n")[0])
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        client = Session(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=5)
        client.json("GET", "me")
        time.sleep(0.1)
        client.json("POST", "tokens", data={})
        client.close()
        thread.join()
    assert answered == [b"GET /api/v1/me HTTP/1.1", b"POST /api/v1/tokens HTTP/1.1"]


def test_answer_to_a_body_that_is_not_taken_is_heard() -> None:
    """A server refuses at once and hangs up while the body is still under way."""
    answer = b'{"code":"too_large","detail":"Too large.","limit":5}'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _address = listener.accept()
            with client:
                client.recv(1024)
                head = f"HTTP/1.1 413 No\r\nContent-Length: {len(answer)}\r\n\r\n"
                client.sendall(head.encode() + answer)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1024 * 1024):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        client = Session(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=5)
        blocks = [bytes(1024 * 1024)] * 16
        url = f"{client.api_root}/uploads/1/content"
        request = Request("PUT", url, body=lambda: blocks, size_bytes=16 * 1024 * 1024)
        with pytest.raises(errors.TooLarge, match="Too large"):
            client.ask(request)
        client.close()
        thread.join()


def test_redirect_to_another_host_gets_no_token(fake: FakeHub, session: Session) -> None:
    with serving(FakeHub()) as other:
        fake.answers = [("me", 302, {"Location": f"{other.url}/elsewhere"}, b"")]
        other.answers = [("elsewhere", 200, {}, b'{"a":1}')]
        assert session.json("GET", "me") == {"a": 1}
    assert "Authorization" in fake.seen[0].headers
    assert "Authorization" not in other.seen[0].headers


def test_redirect_on_the_same_host_keeps_token_and_body(fake: FakeHub, session: Session) -> None:
    fake.answers = [("old", 308, {"Location": "/api/v1/inspect"}, b"")]
    session.json("POST", "old", data={"a": 1})
    assert [seen.body_bytes for seen in fake.seen] == [8, 8]
    assert all("Authorization" in seen.headers for seen in fake.seen)


def test_write_does_not_follow_elsewhere(fake: FakeHub, session: Session) -> None:
    fake.answers = [("inspect", 307, {"Location": "http://127.0.0.1:1/inspect"}, b"")]
    with pytest.raises(errors.BadAnswer, match="redirects this request to"):
        session.json("POST", "inspect", data={})


def test_circle_ends(fake: FakeHub, session: Session) -> None:
    fake.answers = [("me", 302, {"Location": "/api/v1/me"}, b"")] * 9
    with pytest.raises(errors.BadAnswer, match="too many times"):
        session.json("GET", "me")


@pytest.mark.parametrize("place", ["ftp://x/y", "http://[", "file:///etc/passwd", "http://h:x/"])
def test_redirect_to_no_http_address_is_refused(
    fake: FakeHub, session: Session, place: str
) -> None:
    fake.answers = [("me", 302, {"Location": place}, b"")]
    with pytest.raises(errors.BadAnswer):
        session.json("GET", "me")


def test_hub_that_knows_itself_by_another_name_is_asked_where_it_was_found(
    fake: FakeHub, session: Session
) -> None:
    inside = "http://web:8000/api/v1/adapters/a/b/versions/v1/files/é x"
    assert session.locate(inside) == (
        f"{fake.url}/api/v1/adapters/a/b/versions/v1/files/%C3%A9%20x"
    )
    bucket = "https://bucket.example/key?sign=%2Fapi%2Fv1%2F"
    assert session.locate(bucket) == bucket


@pytest.mark.parametrize("body", [b"<html>hello", b"\xff", b"[" * 100_000])
def test_something_that_is_no_hub_is_recognised(
    fake: FakeHub, session: Session, body: bytes
) -> None:
    fake.answers = [("me", 200, {}, body)]
    with pytest.raises(errors.BadAnswer, match="does not respond like a Lorary hub"):
        session.json("GET", "me")


@pytest.mark.parametrize("body", [b"<html>Page not found", b'{"detail": "Not Found"}'])
def test_a_page_that_does_not_exist_is_no_missing_adapter(fake: FakeHub, body: bytes) -> None:
    fake.answers = [("help/api/v1/adapters/ada/noir", 404, {}, body)]
    with (
        Hub(f"{fake.url}/help") as hub,
        pytest.raises(errors.BadAnswer, match="does not respond like a Lorary hub") as caught,
    ):
        hub.info("ada/noir")
    assert "private" not in caught.value.detail


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (rb'"x\ud800"', "x?"),
        (rb'"x\uDFFF"', "x?"),
        (b'"x\xed\xa0\x80"', "x?"),
        (rb'"\ud83c\udfa8"', "\N{ARTIST PALETTE}"),
        ('"\N{HANGUL SYLLABLE HAN}"'.encode(), "\N{HANGUL SYLLABLE HAN}"),
    ],
)
def test_half_characters_which_no_file_takes_are_replaced(
    fake: FakeHub, session: Session, body: bytes, told: str
) -> None:
    fake.answers.append(("title", 200, {}, body))
    assert session.json("GET", "title") == told


def test_list_that_repeats_itself_ends(fake: FakeHub, session: Session) -> None:
    page = b'{"results":[1],"next":"/api/v1/me"}'
    fake.answers = [("me", 200, {}, page)] * 3
    with pytest.raises(errors.BadAnswer, match="same page twice"):
        list(session.items("me"))


def test_nothing_listening_is_said_so(pauses: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Session(
            f"http://127.0.0.1:{unused.getsockname()[1]}", backoff=Backoff(sleep=pauses.append)
        )
        with pytest.raises(errors.Unreachable, match="Is the hub running"):
            client.json("GET", "me")
    assert len(pauses) == 4


def test_silence_times_out(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Session(place, timeout_s=0.05, backoff=Backoff(attempts=2, sleep=pauses.append))
        with pytest.raises(errors.TimedOut) as caught:
            client.json("GET", "me")
    assert isinstance(caught.value, TimeoutError)


def test_whoever_waits_for_an_answer_is_let_go_by_an_abort() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Session(place, timeout_s=60, backoff=Backoff(attempts=1))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.json, "GET", "me")
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                client.abort()
                with pytest.raises(errors.Unreachable):
                    waiting.result(timeout=5)


def test_unknown_host_is_not_tried_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    client = Session("http://nowhere.invalid", backoff=Backoff(sleep=pauses.append))
    with pytest.raises(errors.Unreachable, match=r"nowhere\.invalid"):
        client.json("GET", "me")
    assert pauses == []


def test_proxy_of_the_environment_is_used_but_not_for_this_computer(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(FakeHub()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:pass@"))
        proxy.answers = [("hub", 200, {}, b'{"by":"proxy"}')]
        client = Session("http://hub.example:81")
        assert client.json("GET", "me") == {"by": "proxy"}
        client.close()
        near = Session(fake.url, TOKEN)
        near.json("GET", "me")
        near.close()
    assert proxy.seen[0].path == "http://hub.example:81/api/v1/me"
    assert proxy.seen[0].headers["Host"] == "hub.example:81"
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert len(fake.seen) == 1


@pytest.mark.parametrize(
    ("hub", "variable"),
    [("http://hub.example", "http_proxy"), ("https://hub.example", "https_proxy")],
)
def test_a_dead_proxy_is_named_as_the_proxy(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, hub: str, variable: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv(variable, f"http://user:secret@{place}")
        client = Session(hub, backoff=Backoff(attempts=2, sleep=pauses.append))
        with pytest.raises(errors.Unreachable) as caught:
            client.json("GET", "me")
    expected = f"Nothing answers at the proxy {place}. The proxy is set by {variable}."
    assert caught.value.detail == expected


def test_a_proxy_that_refuses_is_named(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(FakeHub()) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        client = Session("https://hub.example", backoff=Backoff(attempts=2, sleep=pauses.append))
        with pytest.raises(errors.Unreachable, match="through the proxy 127"):
            client.json("GET", "me")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
               "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(FakeHub(), context) as hub:
        place = hub.url.replace("127.0.0.1", "localhost")
        connections._tls.cache_clear()
        stranger = Session(place, TOKEN)
        with pytest.raises(errors.Unreachable, match=r"certificate of localhost.*SSL_CERT_FILE"):
            stranger.json("GET", "me")
        assert hub.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        connections._tls.cache_clear()
        friend = Session(place, TOKEN)
        assert friend.json("GET", "me")
        friend.close()
    connections._tls.cache_clear()


@pytest.mark.parametrize("odd", ["soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "-1"])
def test_a_wait_that_makes_no_sense_is_none(
    fake: FakeHub, session: Session, pauses: list[float], odd: str
) -> None:
    fake.answers = [("me", 503, {"Retry-After": odd}, b"")]
    session.json("GET", "me")
    assert pauses[0] <= 0.25


def test_a_wait_may_be_named_as_a_date(
    fake: FakeHub, session: Session, pauses: list[float]
) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    when = email.utils.format_datetime(soon, usegmt=True)
    fake.answers = [("me", 503, {"Retry-After": when}, b"")]
    session.json("GET", "me")
    assert 25 < pauses[0] <= 30


def test_a_hub_without_https_is_named_and_not_tried_again(
    fake: FakeHub, pauses: list[float]
) -> None:
    place = fake.url.removeprefix("http://")
    client = Session(f"https://{place}", backoff=Backoff(sleep=pauses.append))
    with pytest.raises(errors.Unreachable) as caught:
        client.json("GET", "me")
    assert caught.value.detail == f"{place} does not speak https. Try http://{place}"
    assert pauses == []


def test_threads_that_wait_together_say_it_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "lorary")
    together = threading.Barrier(3)

    def wait_at_once(_pause_s: float) -> None:
        together.wait(10)

    backoff = Backoff(attempts=2, sleep=wait_at_once)

    def fail() -> None:
        raise Again(errors.Unreachable("Nothing answers."), 9)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(backoff.persist, fail) for _ in range(3)]
        assert all(isinstance(job.exception(), errors.Unreachable) for job in jobs)
    assert [record.message for record in caplog.records] == [
        "Nothing answers. Trying again (1 of 1) in 9 s."
    ]
