"""Hubs by name: where a name is understood, and which token goes where."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary.client import Hub, errors
from lorary.client.config import Credentials
from lorary.client.names import split_hub
from tests.client.conftest import CLI
from tests.client.fakehub import TOKEN, FakeHub, serving
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"
FILE = "noir.safetensors"


@pytest.fixture
def work(run: Run, fake: FakeHub) -> Iterator[FakeHub]:
    """A second hub with a name; both have an adapter that the other has not."""
    fake.publish(INK, {"ink.safetensors": b"ink"})
    with serving(FakeHub()) as hub:
        hub.publish(NOIR, {FILE: b"noir of work"})
        assert run("hub", "add", "work", f"{hub.url}/").code == 0
        yield hub


def tokens_sent(hub: FakeHub) -> set[str]:
    return {seen.headers.get("Authorization", "") for seen in hub.seen}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("work:a/b@v1", ("work", "a/b@v1")),
        ("work:pack:a/b", ("work", "pack:a/b")),
        ("pack:a/b", ("", "pack:a/b")),
        ("a/b", ("", "a/b")),
        ("a/b@v3:0.8", ("", "a/b@v3:0.8")),
        ("https://hub.example/a", ("", "https://hub.example/a")),
        ("x://y", ("", "x://y")),
        ("C:a/b", ("", "C:a/b")),
        ("Work:a/b", ("", "Work:a/b")),
        ("f" * 33 + ":a/b", ("", "f" * 33 + ":a/b")),
    ],
)
def test_a_hub_comes_before_a_reference(text: str, expected: tuple[str, str]) -> None:
    assert split_hub(text) == expected


def test_hubs_are_added_listed_used_and_removed(
    run: Run, fake: FakeHub, work: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORARY_ENDPOINT")
    monkeypatch.delenv("LORARY_TOKEN")
    assert run("hub", "add", "work", work.url, "--json").document == {
        "name": "work", "url": work.url,
    }  # fmt: skip
    refused = run("hub", "add", "work", fake.url)
    assert (refused.code, f"“work” already stands for {work.url}" in refused.err) == (2, True)
    assert run("login", "--token", TOKEN, "--endpoint", fake.url).code == 0
    rows = run("hub", "list", "--json").documents
    assert rows == [
        {"name": "work", "url": work.url, "in_use": False, "signed_in": False},
        {"name": None, "url": fake.url, "in_use": True, "signed_in": True},
    ]
    used = run("hub", "use", "work")
    assert used.out == f"work is {work.url}, the hub in use.\n"
    assert used.err == "lorary: sign in with lorary login --hub work\n"
    monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
    assert "LORARY_ENDPOINT is set and takes precedence" in run("hub", "use", "work").err
    monkeypatch.delenv("LORARY_ENDPOINT")
    assert run("login", "--token", TOKEN).code == 0
    assert run("whoami", "--json").document["endpoint"] == work.url
    kept = run("hub", "remove", "work")
    assert f"lorary logout --endpoint {work.url}" in kept.err
    assert run("hub", "use", "work").code == 2
    assert set(Credentials.load(home).tokens) == {fake.url, work.url}


@pytest.mark.parametrize("name", ["pack", "https", "W", "w", "a b", "-a", "a.b", "x" * 33, ""])
def test_names_with_another_meaning_are_refused(run: Run, name: str) -> None:
    assert run("hub", "add", "--", name, "https://hub.example").code == 2


@pytest.mark.parametrize("words", [["add", "x"], ["list", "x"], ["use"], ["add", "ab", "ftp://x"]])
def test_wrong_words_are_refused(run: Run, home: Path, words: list[str]) -> None:
    assert run("hub", *words).code == 2
    assert not (home / "credentials.json").exists()


def test_a_name_is_understood_wherever_a_reference_is(
    run: Run, work: FakeHub, fake: FakeHub, lora: Path
) -> None:
    assert run("info", f"work:{NOIR}@v1", "--json").document["adapter"] == NOIR
    assert run("versions", f"work:{NOIR}", "--json").document["version"] == "v1"
    assert run("search", "--hub", "work", "--json").document["full_name"] == NOIR
    assert run("alias", f"work:{NOIR}", "stable", "v1").code == 0
    assert run("yank", f"work:{NOIR}@v1", "--reason", "Old").code == 0
    assert run("login", "--hub", "work", "--token", TOKEN).code == 0
    run("try", f"work:{NOIR}:0.8", f"work:{NOIR}@v1", "--prompt", "noir")
    (asked,) = work.requests("POST /api/v1/tryouts")
    assert [layer["adapter"] for layer in json.loads(asked.body)["layers"]] == [NOIR, NOIR]
    assert run("push", lora, "--to", "work:ada/new", "--json").document["adapter"] == "ada/new"
    assert "ada/new" in work.adapters
    assert not [seen for seen in fake.seen if NOIR in seen.path or "new" in seen.path]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", f"home:{NOIR}"], "no hub with the name “home”. Known hubs: work."),
        (["info", f"work:{NOIR}", "--endpoint", "https://x.example"], "not both"),
        (["pull", f"work:{NOIR}", "--hub", "other"], "not both"),
        (["pull", f"pack:work:{NOIR}"], "write it first: work:owner/name, work:pack:owner/name"),
        (["search", "--hub", "home"], "lorary hub add home"),
    ],
)
def test_what_a_name_cannot_do_is_said(
    run: Run, work: FakeHub, words: list[str], message: str
) -> None:
    ran = run(*words)
    assert (ran.code, message in ran.err) == (2, True), ran.err


def test_one_pull_can_name_several_hubs(
    run: Run, work: FakeHub, fake: FakeHub, tmp_path: Path
) -> None:
    fake.publish(NOIR, {FILE: b"noir of home"})
    to = tmp_path / "loras"
    ran = run("pull", f"work:{NOIR}", INK, "work:a/gone", NOIR, "--to", to, "--json")
    done = [row.get("adapter") or row["asked"] for row in ran.documents]
    assert done == [NOIR, "work:a/gone", INK, NOIR]
    assert ran.code == 3
    files = {place.read_bytes() for place in to.glob("*.safetensors")}
    assert files == {b"noir of work", b"ink", b"noir of home"}
    assert ran.err.endswith("lorary: 1 of 4 failed; the others are done\n")


def test_a_token_of_the_environment_is_not_sent_to_a_hub_that_a_name_chooses(
    run: Run, work: FakeHub, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", TOKEN)
    for words in (["info", f"work:{NOIR}"], ["search", "--hub", "work"]):
        assert run(*words).code == 0
    assert run("pull", f"work:{NOIR}", INK).code == 0
    assert tokens_sent(work) == {""}
    assert tokens_sent(fake) == {f"Bearer {TOKEN}"}
    with Credentials.changing(home) as credentials:
        credentials.keep_token(work.url, "lor_of_work", is_keyring=False)
    assert run("info", f"work:{NOIR}").code == 0
    assert tokens_sent(work) == {"", "Bearer lor_of_work"}
    monkeypatch.setenv("LORARY_ENDPOINT", "work")
    assert run("info", NOIR).code == 0
    assert tokens_sent(work) == {"", "Bearer lor_of_work", f"Bearer {TOKEN}"}


def test_python_takes_names_too(work: FakeHub, tmp_path: Path) -> None:
    with Hub("work") as hub:
        assert hub.endpoint == work.url
        with pytest.raises(errors.ReferenceInvalid, match=r'lorary.Hub\("work"\)'):
            hub.info(f"work:{NOIR}")
    assert lorary.pull(f"work:{NOIR}", to=tmp_path).read_bytes() == b"noir of work"


def test_a_lock_holds_the_address_of_a_named_hub(
    run: Run, work: FakeHub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Folder(tmp_path / "project")
    project.want({NOIR: "*"}, hub="work")
    monkeypatch.chdir(project.path)
    assert run("lock").code == 0
    assert [row["hub"] for row in project.lock["file"]] == [work.url]
    assert run("sync", "--frozen").code == 0
    assert project.files == {FILE: b"noir of work"}
    project.want({NOIR: "*"}, hub="home")
    refused = run("lock")
    assert "“hub”: This computer has no hub with the name “home”" in refused.err
    run("config", "set", "hub", "work")
    assert Credentials.load(home).endpoint == work.url


def test_logins_at_the_same_time_lose_none(
    fake: FakeHub, home: Path, environment: dict[str, str]
) -> None:
    del environment["LORARY_TOKEN"]

    def login(number: int) -> int:
        address = fake.url if number % 2 else fake.url.replace("127.0.0.1", "localhost")
        words = ["login", "--token", TOKEN, "--endpoint", f"{address}/{number}"]
        if number % 3 == 0:
            words = ["hub", "add", f"hub{number}", f"https://{number}.example"]
        done = subprocess.run([*CLI, *words], env=environment, capture_output=True, check=False)
        return done.returncode

    numbers = range(9)
    fake.answers = [("/api/v1/me", 200, {}, b'{"name": "ada"}')] * 9
    with ThreadPoolExecutor(9) as pool:
        assert set(pool.map(login, numbers)) == {0}
    credentials = Credentials.load(home)
    assert len(credentials.tokens) == 6
    assert set(credentials.hubs) == {"hub0", "hub3", "hub6"}
