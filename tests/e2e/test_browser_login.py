"""Signing in by browser, as a person does: a command in a terminal, a page of a running hub."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from tests.clients.programs import Programs
from tests.e2e.commands import CommandLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Person:
    """Somebody with an account and the cookies of a browser."""

    def __init__(self, hub: RunningHub, name: str) -> None:
        self.hub = hub
        self._browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))
        said = {"name": name, "email": f"{name}@example.org", "password": "a long word 7"}
        self.send("/signup", said)

    def open(self, page: str) -> str:
        """Return the HTML of a page."""
        with self._browser.open(page if "://" in page else self.hub.url + page) as answer:
            text: str = answer.read().decode()
        return text

    def send(self, page: str, said: dict[str, str]) -> str:
        """Send the form of a page and return the HTML of the next one."""
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.open(page))
        assert found is not None
        body = urlencode({**said, "csrfmiddlewaretoken": found[1]}).encode()
        with self._browser.open(self.hub.url + page.partition("?")[0], body) as answer:
            text: str = answer.read().decode()
        return text

    def decide(
        self, command: Sequence[str], environ: dict[str, str], decision: str
    ) -> tuple[int, str, str]:
        """Run a command that signs in, decide on the page that it names, and see how it ends."""
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said, found = "", None
            while found is None:
                line = process.stdout.readline()
                assert line, said
                said += line
                found = re.search(r"(/signin/device)\?user_code=([A-Z-]+)\s", said)
            page = self.open(found[0].strip())
            self.send(found[0].strip(), {"user_code": found[2], "decision": decision})
            said += process.stdout.read()
        return process.returncode, said, page


@pytest.fixture(scope="module")
def wilma(quiet_hub: RunningHub) -> Person:
    return Person(quiet_hub, "wilma")


def test_lorary_signs_in_by_the_page(quiet_hub: RunningHub, wilma: Person, tmp_path: Path) -> None:
    line = CommandLine(quiet_hub, tmp_path / "home")
    command = [sys.executable, "-m", "lorary", "login", "--no-browser"]
    code, said, _page = wilma.decide(command, line.environ, "deny")
    assert (code, "The sign-in was denied." in said) == (4, True)
    assert not (line.home / "credentials.json").exists()
    code, said, page = wilma.decide([*command, "--scopes", "read"], line.environ, "allow")
    assert (code, f"Signed in to {quiet_hub.url} as wilma." in said) == (0, True)
    assert "publish and change adapters" not in page
    assert line.ask("whoami")["scopes"] == ["read"]
    newest = json.loads(line.run("tokens", "--json").splitlines()[0])["name"]
    assert newest.startswith("lorary login on ")
    assert newest in wilma.open("/settings/tokens")
    assert line.ask("logout")["revoked"] is True
    assert newest not in wilma.open("/settings/tokens")


def test_hf_signs_in_by_the_page(quiet_hub: RunningHub, wilma: Person, tmp_path: Path) -> None:
    hf = Programs(quiet_hub, tmp_path)
    command = [str(Path(sys.executable).with_name("hf")), "auth", "login"]
    code, said, page = wilma.decide(command, hf.environ, "allow")
    assert (code, "Login successful" in said) == (0, True), said
    assert re.search(r"<dd>\s*hf\s*</dd>", page)
    assert hf.python("from huggingface_hub import whoami; tell(whoami()['name'])") == "wilma"
