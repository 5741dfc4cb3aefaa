"""A shared cache in front of a hub, as ``docs/operations/cdn.md`` configures it."""

from __future__ import annotations

import http.client
import re
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Answer, Caller, caller
from tests.nginx import Nginx, in_front_of, program
from tests.running import ROOT, RunningHub, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)"),
    pytest.mark.skipif(
        LIBRARY is None, reason="there is no libfaketime (apt-get install faketime)"
    ),
]

LORA = kohya(DENOISERS["sd1", "diffusers"])
EDGE, CLIENT = "127.0.0.2", "127.0.0.3"
HOUR_S = 3600


@dataclass
class Site:
    """A hub behind its nginx, and the folder of the cache in front of both.

    Attributes:
        port: Of the hub's nginx.
        tls_port: The same with TLS, for the cache.
    """

    hub: RunningHub
    ada: Caller
    folder: Path
    port: int
    tls_port: int

    @contextmanager
    def edge(self, later_s: int = 0) -> Iterator[Caller]:
        """Run the cache with a clock that is ahead; yield a visitor of it."""
        text = (ROOT / "docs" / "operations" / "cdn.md").read_text(encoding="utf-8")
        (servers,) = re.findall(r"```nginx\n(.+?)```", text, re.DOTALL)
        port = free_port()
        for said, meant in (
            ("/var/cache/nginx/lorary", str(self.folder / "cache")),
            ("listen 443 ssl;", f"listen 127.0.0.1:{port}; proxy_bind {EDGE};"),
            # Visitors of the test have no TLS.
            ("    ssl_certificate     /etc/nginx/hub.example.pem;\n", ""),
            ("    ssl_certificate_key /etc/nginx/hub.example.key;\n", ""),
            ("https://origin.example", f"https://127.0.0.1:{self.tls_port}"),
            ("/etc/ssl/certs/ca-certificates.crt", str(self.folder / "origin.pem")),
        ):
            assert said in servers
            servers = servers.replace(said, meant)
        nginx = Nginx(self.folder / f"edge-{port}", port, servers)
        nginx.environ = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"+{later_s}s"}
        with nginx:
            yield Caller(port)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cdn")
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    data, port, tls_port = folder / "hub", free_port(), free_port()
    settings = {"ACCEL": "/blobs/", "TRUST_PROXY": "1", "LOG_LEVEL": "INFO"}
    servers = in_front_of(0, data, port)
    tls = f"listen 127.0.0.1:{tls_port} ssl; {certificate(folder, 'origin')}"
    servers = servers.replace(f"listen 127.0.0.1:{port};", f"listen 127.0.0.1:{port}; {tls}")
    networks = "set_real_ip_from 172.30.78.2;"
    assert networks in servers
    with ExitStack() as stack:
        hub = stack.enter_context(RunningHub(data, "--queues", "checks", **settings))
        servers = servers.replace(networks, f"{networks} set_real_ip_from {EDGE};")
        servers = servers.replace("server 127.0.0.1:0;", f"server 127.0.0.1:{hub.port};")
        stack.enter_context(Nginx(folder / "origin", port, servers))
        yield Site(hub, caller(hub, "ada"), folder, port, tls_port)


def certificate(folder: Path, name: str) -> str:
    """Make a certificate of ``name``.example for ten years; return nginx's lines for it."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    command += ["-subj", f"/CN={name}.example", "-addext", f"subjectAltName=DNS:{name}.example"]
    command += ["-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return f"ssl_certificate {pem}; ssl_certificate_key {key};"


def file_of(site: Site, name: str, rank: int, **adapter: str) -> str:
    """Publish a file and return its address."""
    made = site.ada.publish(kohya(DENOISERS["sd1", "diffusers"], rank=rank), name, **adapter)
    assert made.status == 201, made.body
    return path_of(made.document["files"][0]["download_url"])


def told(answer: Answer) -> tuple[int, str]:
    """Return the status, and what the cache has to do with it."""
    return answer.status, answer.headers.get("x-cache-status", "-")


def cover_of(site: Site, name: str) -> str:
    cover = site.ada.get(f"/api/v1/adapters/ada/{name}").document["cover"]
    return urlsplit(str(cover)).path


def test_a_public_file_comes_from_the_cache_and_is_gone_a_second_after_a_takedown(
    site: Site,
) -> None:
    place = file_of(site, "noir", 4)
    with site.edge() as visitor:
        first = visitor.get(place)
        assert told(first) == (200, "MISS")
        assert first.headers["cache-control"] == "public, no-cache"
        time.sleep(2.1)
        again = visitor.get(place)
        assert (told(again), again.body) == ((200, "REVALIDATED"), first.body)
        assert told(visitor.get(place, {"Range": "bytes=5-9"}))[0] == 206
        lines = site.hub.log.read_text().splitlines()
        assert [line for line in lines if place in line and "status=304 bytes=0" in line]
        mine = Caller(visitor.port, site.ada.token).get(place)
        assert told(mine) == (200, "-"), "whoever has signed in is answered by the hub"
        withdrawn = site.ada.post("/api/v1/adapters/ada/noir/versions/v1/withdraw", {"reason": "x"})
        assert withdrawn.status == 200, withdrawn.body
        time.sleep(2.1)
        gone = visitor.get(place)
        assert (gone.status, gone.headers["cache-control"]) == (410, "private, no-store")


@pytest.mark.parametrize("how", ["private", "withdrawn"])
def test_a_public_picture_comes_from_the_cache_and_is_gone_an_hour_after_a_takedown(
    site: Site, how: str
) -> None:
    file_of(site, f"dusk-{how}", 5 + len(how))
    place = cover_of(site, f"dusk-{how}")
    with site.edge() as visitor:
        assert [told(visitor.get(place)) for _ in range(2)] == [(200, "MISS"), (200, "HIT")]
        in_german = visitor.get(place, {"Accept-Language": "de", "Cookie": "works_with=1"})
        assert told(in_german) == (200, "HIT")
        adapter = f"/api/v1/adapters/ada/dusk-{how}"
        if how == "private":
            done = site.ada.call("PATCH", adapter, {"visibility": "private"})
        else:
            done = site.ada.post(f"{adapter}/versions/v1/withdraw", {"reason": "x"})
        assert done.status == 200, done.body
        assert told(visitor.get(place)) == (200, "HIT"), "for an hour"
    with site.edge(HOUR_S + 1) as visitor:
        if how == "private":  # whose owner looks at it first
            assert told(Caller(visitor.port, site.ada.token).get(place)) == (200, "-")
            plain = Caller(site.port, site.ada.token).get(place, {"If-None-Match": "*"})
            assert (plain.status, plain.headers["cache-control"]) == (200, "private, no-store")
        gone = visitor.get(place)
        assert gone.status == (404 if how == "private" else 410)
        assert visitor.get(place).status == gone.status


def test_a_picture_that_stays_is_revalidated_after_an_hour(site: Site) -> None:
    file_of(site, "dawn", 9)
    place = cover_of(site, "dawn")
    with site.edge() as visitor:
        first = visitor.get(place)
    with site.edge(HOUR_S - 60) as visitor:
        assert told(visitor.get(place)) == (200, "HIT")
    with site.edge(HOUR_S + 1) as visitor:
        again = visitor.get(place)
        assert (told(again), again.body) == ((200, "REVALIDATED"), first.body)
        assert told(visitor.get(place)) == (200, "HIT")


def test_nothing_private_is_ever_stored(site: Site) -> None:
    place = file_of(site, "secret", 11, visibility="private")
    drawn = cover_of(site, "secret")
    public = file_of(site, "open", 12)
    with site.edge() as visitor:
        assert told(visitor.get(public)) == (200, "MISS")
        owner = Caller(visitor.port, site.ada.token)
        for path in (place, drawn, "/api/v1/adapters/ada/secret"):
            for _ in range(2):
                mine = owner.get(path)
                assert (mine.status, mine.headers["cache-control"]) == (200, "private, no-store")
                assert told(visitor.get(path))[0] == 404, path
                assert told(visitor.get(path))[1] != "HIT", path
        for path in ("/", "/browse", "/ada", "/api/v1/adapters", "/signin"):
            for _ in range(2):
                answer = visitor.get(path)
                assert told(answer) == (200, "-"), "pages do not go through the cache"
                assert "private" in answer.headers["cache-control"], path
    stored = b"".join(
        file.read_bytes()[:4096] for file in (site.folder / "cache").rglob("*") if file.is_file()
    )
    assert b"KEY: GET127.0.0.1" in stored
    assert public.encode() in stored
    assert b"secret" not in stored
    assert b"/browse" not in stored


def test_static_files_are_kept_for_a_year(site: Site) -> None:
    with site.edge() as visitor:
        (style, *_others) = re.findall(rb'href="(/static/[^"]+\.css)"', visitor.get("/").body)
        place = style.decode()
        assert told(visitor.get(place)) == (200, "MISS")
    with site.edge(300 * 24 * HOUR_S) as visitor:
        assert told(visitor.get(place)) == (200, "HIT")


def test_the_hub_sees_the_client_and_not_the_cache(site: Site) -> None:
    with site.edge() as visitor:
        connection = http.client.HTTPConnection(
            "127.0.0.1", visitor.port, timeout=30, source_address=(CLIENT, 0)
        )
        with closing(connection):
            forged = {"X-Forwarded-For": "203.0.113.9", "Host": f"127.0.0.1:{visitor.port}"}
            connection.request("GET", "/help/licences", headers=forged)
            assert connection.getresponse().status == 200
    until = time.monotonic() + 10
    while not (
        lines := [
            line for line in site.hub.log.read_text().splitlines() if "/help/licences" in line
        ]
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert f"address={CLIENT}" in lines[-1], lines[-1]
