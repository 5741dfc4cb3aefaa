"""Commands: results, refusals, exit codes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary.anatomy import Finding
from lorary.cli import app
from lorary.cli.command import UsageError
from lorary.cli.output import messages
from lorary.client import errors
from lorary.client.config import Credentials
from tests.client.conftest import CLI, Ran
from tests.client.fakehub import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


def test_help_lists_every_command_and_loads_none(environment: dict[str, str]) -> None:
    code = (
        "import sys; from lorary.cli import main; code = main(['--help']);"
        "heavy = {'http.client', 'ssl', 'rich', 'json', 'lorary.client', 'lorary.anatomy'};"
        "sys.exit(code or len(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in app.COMMANDS)


def test_help_of_commands_loads_no_anatomy(environment: dict[str, str]) -> None:
    code = """
import sys
from lorary.cli import app, main

def ask(name, heavy):
    code = main([name, "--help"])
    if loaded := heavy & set(sys.modules):
        sys.exit(f"{name}: {loaded}")
    assert code == 0, name

ask("pull", {"http.client", "ssl", "logging", "rich", "lorary.safetensors"})  # before the others
for name in app.COMMANDS:
    if name != "inspect":
        ask(name, {"lorary.anatomy", "rich.console"})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", app.COMMANDS)
def test_each_command_has_help_with_an_example(run: Run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"  lorary {name}" in ran.out.split("example:")[1]
    assert "--json" in ran.out
    assert max(map(len, ran.out.split("example:")[0].splitlines())) <= 100


def test_version_is_told(run: Run) -> None:
    assert run("--version").out == f"lorary {lorary.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--json"], ["nothing", "--json"], ["--nothing", "--json"], ["pull", "--json"],
        ["pull", "noir", "--json"], ["push", "--json"], ["push", "a", "--to", "a/b@v1", "--json"],
        ["push", "a", "--to", "a/b", "--private", "--unlisted", "--json"],
        ["search", "--limit", "-1", "--json"], ["search", "--limit", "x", "--json"],
        ["search", "--sort", "age", "--json"], ["pull", "a/b", "--ver", "--json"],
        ["whoami", "--endpoint", "hub.example", "--json"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert set(ran.document) == {"error", "findings"}
    assert ran.err.startswith("lorary: ")


def test_no_words_show_the_help_on_standard_error(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.out) == (2, "")
    assert "commands:" in ran.err


def test_pull_tells_what_it_did(run: Run, fake: FakeHub, tmp_path: Path) -> None:
    version = fake.publish(NAME, {"noir.safetensors": b"weights", "a.json": b"{}"})
    file = version["files"][0]
    document = run("pull", f"{NAME}@v1", "--to", tmp_path / "out", "--json").document
    assert document == {
        "adapter": NAME,
        "version": "v1",
        "revision": version["revision"],
        "state": "published",
        "reason": None,
        "trigger_words": [],
        "optional_trigger_words": [],
        "strength": {"recommended": None, "min": None, "max": None},
        "files": [
            {
                "path": "noir.safetensors",
                "local_path": str(tmp_path / "out" / "noir.safetensors"),
                "size": 7,
                "sha256": file["sha256"],
                "bytes_fetched": 7,
            },
        ],
        "offline": False,
        "left_out": ["a.json"],
    }
    ran = run("pull", NAME, "--to", tmp_path / "out", "--verify")
    assert "here already, verified" in ran.out
    assert "left out  a.json (use --all-files to download them)" in ran.out
    assert ran.err == ""


def test_yanked_version_is_warned_about(run: Run, fake: FakeHub) -> None:
    fake.publish(NAME, {"a.safetensors": b"w"}, state="yanked", reason="Overfit.\x1b[2J")
    ran = run("pull", f"{NAME}@v1", "--json")
    assert (ran.code, ran.document["version"]) == (0, "v1")
    assert "was yanked: Overfit.�[2J" in ran.err


def test_pull_tells_what_a_version_needs_at_use(run: Run, fake: FakeHub) -> None:
    strength = {"recommended": 0.8, "min": 0.5, "max": 1.0}
    fake.publish(
        NAME, {"a.safetensors": b"w"}, state="yanked", reason="Overfit.",
        trigger_words=["film noir", "grain"], strength=strength,
    )  # fmt: skip
    document = run("pull", f"{NAME}@v1", "--json").document
    assert (document["state"], document["reason"]) == ("yanked", "Overfit.")
    assert (document["trigger_words"], document["strength"]) == (["film noir", "grain"], strength)
    out = run("pull", f"{NAME}@v1").out
    assert "words     film noir · grain" in out
    assert "strength  0.8 (0.5 to 1)" in out


def test_push_tells_what_it_did(run: Run, fake: FakeHub, lora: Path) -> None:
    words = ["--trigger", "film noir, high contrast", "--trigger", "noir"]
    ran = run("push", lora, "--to", "ada/noir", *words, "--kind", "character", "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    version = fake.versions["ada/noir"][0]
    assert version["trigger_words"] == ["film noir, high contrast", "noir"]
    assert fake.adapters["ada/noir"]["kind"] == "character"
    assert list(document) == [
        "adapter", "version", "revision", "state", "url", "files", "findings",
    ]  # fmt: skip
    assert document["files"] == [
        {
            "path": "noir.safetensors",
            "size": lora.stat().st_size,
            "sha256": version["files"][0]["sha256"],
        }
    ]
    again = run("push", lora, "--to", "ada/noir", "--wait", "--json").document
    assert again["revision"] == document["revision"]
    assert again["previews"]["state"] == "ready"
    ran = run("push", lora, "--to", "ada/noir", "--wait", "--title", "Other")
    assert "only a new adapter takes --title" in ran.err
    assert "ada/noir v1" in ran.out


def test_a_repeated_push_tells_that_nothing_was_published(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    known = {"code": "weights_known", "severity": "warning", "message": "Known: ada/noir v1."}
    push = ("push", lora, "--to", "ada/noir", "--trigger", "noir")
    first = run(*push)
    assert (first.code, "nothing was published" in first.err) == (0, False)
    fake.verdict = [known]
    fake.seen.clear()
    again = run(*push)
    assert not any("versions?" in seen.path for seen in fake.seen)
    assert (again.code, "weights_known" in again.out) == (0, False)
    assert again.err == "lorary: these files are already v1; nothing was published.\n"
    other = run(*push, "--trigger", "rain", "--label", "soft", "--strength", "0.5")
    assert other.code == 0
    assert "Not applied: --trigger, --label, --strength. “lorary edit ada/" in other.err


def test_a_push_that_loses_the_hub_tells_how_to_resume(run: Run, fake: FakeHub, lora: Path) -> None:
    fake.answers = [("content$", 503, {}, b'{"detail": "The hub stops."}')] * 5
    ran = run("push", lora, "--to", "ada/noir")
    assert ran.code == 5
    assert ran.err.endswith("have arrived. Run the same command again to resume.\n")


def test_a_push_to_a_withdrawn_adapter_or_an_odd_name_tells_why(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    gone = b'{"code": "gone", "detail": "ada/noir was withdrawn: copied"}'
    fake.answers = [("adapters/ada/noir$", 410, {}, gone)]
    ran = run("push", lora, "--to", "ada/noir")
    assert (ran.code, "was withdrawn: copied" in ran.err) == (3, True)
    ran = run("push", lora, "--to", "ada/Noir Bild")
    assert (ran.code, "A name has up to 96 letters, digits" in ran.err) == (2, True)


def test_help_lists_every_exit_code(run: Run) -> None:
    assert "130 interrupted" in run("--help").out


def test_refused_push_carries_findings(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "evil.safetensors"
    place.write_bytes(b"PK\x03\x04")
    ran = run("push", place, "--to", "ada/noir", "--json")
    assert ran.code == 1
    assert ran.document["error"]["code"] == "upload_refused"
    assert ran.document["findings"][0]["severity"] == "error"
    ran = run("push", place, "--to", "ada/noir")
    assert ran.out == ""
    assert "error" in ran.err


def test_search_gives_a_line_for_each_adapter(run: Run, fake: FakeHub) -> None:
    for number in range(5):
        fake.publish(f"ada/noir{number}", {"a.safetensors": bytes([number])})
    ran = run("search", "noir", "--json")
    assert [row["adapter"] for row in ran.documents] == [f"ada/noir{n}" for n in range(5)]
    ran = run("search", "--limit", 2, "--json")
    assert len(ran.documents) == 2
    assert "more than 2" in ran.err
    ran = run("search", "--limit", 0)
    assert len(ran.out.splitlines()) == 6
    ran = run("search", "nothing")
    assert (ran.code, ran.out, ran.err) == (0, "", "lorary: nothing found\n")
    assert "nothing found; try fewer words" in run("search", "film", "nothing").err
    answer = {"results": [fake.adapters["ada/noir1"]], "next": None, "corrected": "noir"}
    headers = {"Content-Type": "application/json"}
    fake.answers = [("adapters", 200, headers, json.dumps(answer).encode())] * 2
    for options in ((), ("--json",)):
        ran = run("search", "niur", *options)
        assert ran.err == "lorary: nothing matches “niur”: searched for “noir” instead\n"
        assert "ada/noir1" in ran.out


@pytest.mark.parametrize("words", [["search"], ["pack", "list"]])
def test_a_family_that_does_not_exist_is_wrong_usage_with_similar_ones(
    run: Run, fake: FakeHub, words: list[str]
) -> None:
    """The hub decides: it may know families that this release does not."""
    many = "“sdxxl” is not one of: sd1, sd2, sdxl and 90 more."
    problem = {"code": "validation_failed", "detail": many, "fields": {"family": [many]}}
    headers = {"Content-Type": "application/problem+json"}
    fake.answers = [("family=sdxxl", 400, headers, json.dumps(problem).encode())]
    ran = run(*words, "--family", "sdxxl", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")
    assert "there is no family “sdxxl”; did you mean sdxl" in ran.err
    assert "sd2" not in ran.err
    run(*words, "--family", "stable diffusion xl")
    assert "family=sdxl&" in fake.seen[-1].path
    run(*words, "--family", "of_tomorrow")
    assert "family=of_tomorrow&" in fake.seen[-1].path


def test_a_kind_that_does_not_exist_is_wrong_usage(run: Run, fake: FakeHub) -> None:
    text = "“styl” is not one of: style, character."
    problem = {"code": "validation_failed", "detail": "Invalid.", "fields": {"kind": [text]}}
    headers = {"Content-Type": "application/problem+json"}
    fake.answers = [("kind=styl", 400, headers, json.dumps(problem).encode())]
    ran = run("search", "--kind", "styl")
    assert (ran.code, f"--kind: {text}" in ran.err) == (2, True)
    problem["fields"] = {"q": ["It is too long."]}
    fake.answers = [("q=x", 400, headers, json.dumps(problem).encode())]
    assert run("search", "x").code == 1


def test_a_content_rating_is_pushed_shown_and_searched_for(
    run: Run, fake: FakeHub, lora: Path
) -> None:
    push = ("push", lora, "--to", "ada/noir", "--rating", "explicit")
    assert run(*push).code == 0
    assert fake.adapters["ada/noir"]["maturity"] == "explicit"
    assert "--rating" not in run(*push).err
    assert "rating      explicit" in run("info", "ada/noir").out
    assert run("search", "--max-rating", "mature").code == 0
    assert fake.seen[-1].path == "/api/v1/adapters?max_maturity=mature&limit=51"
    assert run("search", "--tag", "ink", "--tag", "film noir").code == 0
    assert fake.seen[-1].path == "/api/v1/adapters?tag=ink&tag=film+noir&limit=51"
    for words in (["search", "--max-rating", "odd"], [*push[:-1], "odd"]):
        assert run(*words).code == 2


def test_info_and_versions(run: Run, fake: FakeHub) -> None:
    fake.publish(NAME, {"a.safetensors": b"w"}, label="first")
    assert run("info", NAME, "--json").document["adapter"] == NAME
    assert run("info", f"{NAME}@v1", "--json").document["files"][0]["size"] == 1
    assert run("versions", NAME, "--json").document["version"] == "v1"
    assert "latest" in run("info", NAME).out
    assert "“first”" in run("info", f"{NAME}@v1").out
    fake.versions[NAME][0] |= {
        "strength": {"recommended": 0.8}, "notes": "made by ada\n\nImported. title: header.",
    }  # fmt: skip
    fake.adapters[NAME]["card"] = "---\ntags: [x]\n---\n# Noir\n\n**Dark** [rain](https://a.b).\n"
    out = run("info", NAME).out
    assert "  strength    0.8\n" in out
    assert "  card        Noir\n              Dark rain.\n" in out
    notes = run("info", f"{NAME}@v1").out.partition("notes")[2].splitlines()
    assert [line.strip() for line in notes[:2]] == ["made by ada", "Imported. title: header."]
    assert run("versions", NAME).out.splitlines()[1].startswith("v1")
    fake.versions[NAME].clear()
    assert "no versions" in run("versions", NAME).err


def test_login_keeps_the_token_and_logout_forgets_it(
    run: Run, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORARY_TOKEN")
    monkeypatch.delenv("LORARY_ENDPOINT")
    assert run("whoami", "--endpoint", fake.url, "--json").code == 4
    ran = run("login", "--endpoint", fake.url, "--token", TOKEN, "--json")
    assert ran.document == {"endpoint": fake.url, "name": "ada", "scopes": ["read", "write"]}
    assert stat.S_IMODE((home / "credentials.json").stat().st_mode) == 0o600
    assert run("whoami", "--json").document["name"] == "ada"
    assert "ada" in run("whoami").out
    left = run("logout", "--json")
    assert left.document == {"endpoint": fake.url, "signed_out": True, "revoked": False}
    assert f"stays valid until you revoke it at {fake.url}/settings/tokens" in left.err
    assert run("whoami").code == 4
    assert "No token" in run("logout").out


def test_login_reads_the_token_from_a_pipe_and_refuses_a_wrong_one(
    fake: FakeHub, home: Path, environment: dict[str, str]
) -> None:
    own = {key: value for key, value in environment.items() if key != "LORARY_TOKEN"}

    def login(text: str) -> int:
        command = [*CLI, "login", "--endpoint", fake.url]
        done = subprocess.run(
            command, input=text, env=own, capture_output=True, text=True, check=False
        )
        return done.returncode

    assert login("") == 2
    assert login("lor_wrong\n") == 4
    assert not (home / "credentials.json").exists()
    assert login(f" {TOKEN}\n") == 0
    assert Credentials.load(home).tokens == {fake.url: TOKEN}


def test_a_refused_token_is_told_by_where_it_was(
    run: Run, fake: FakeHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORARY_TOKEN", "lor_stale")
    ran = run("whoami", "--json")
    assert ran.code == 4
    assert "environment variable LORARY_TOKEN: set it to another" in ran.err
    assert ran.document["error"]["message"] in ran.err
    given = run("login", "--token", "lor_given")
    monkeypatch.delenv("LORARY_TOKEN")
    Credentials(home / "credentials.json", fake.url, {fake.url: "lor_kept"}).save()
    kept = run("whoami")
    assert f"stored in {home / 'credentials.json'}: sign in again with `lorary login" in kept.err
    assert (
        f"the token that was passed, not a stored one: create another at {fake.url}/settings/tokens"
        in given.err
    )
    run("logout")
    none = run("whoami")
    assert none.err == "lorary: Sign in first See lorary login --help.\n"
    for told in (ran, given, kept, none):
        assert told.err.count("lorary login") == 1
        assert "lor_" not in told.err + told.out


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "not_found", 3),
        (410, "gone", 3),
        (401, "not_authenticated", 4),
        (403, "scope_missing", 4),
        (400, "validation_failed", 1),
        (409, "name_taken", 1),
        (413, "quota_exceeded", 1),
        (500, "internal_error", 5),
        (503, "unavailable", 5),
        (429, "rate_limited", 5),
    ],
)
def test_exit_code_follows_the_refusal(
    run: Run, fake: FakeHub, status: int, code: str, expected: int
) -> None:
    body = json.dumps({"code": code, "detail": "No.", "fields": {"x": ["Too long."]}}).encode()
    fake.answers = [("versions/", status, {}, body)] * 5
    ran = run("pull", NAME, "--json")
    assert ran.code == expected
    message = ran.document["error"].pop("message")
    assert ran.document == {"error": {"code": code}, "findings": []}
    assert (message.startswith("No. "), message.endswith("x: Too long.")) == (True, True)
    assert ("lorary login" in ran.err) == (status == 401)


def test_every_failure_has_its_exit_code() -> None:
    for cls in errors.every_class():
        assert messages.exit_code(cls("Wrong.", code="x")) in {1, 2, 3, 4, 5}
    assert messages.exit_code(UsageError()) == 2
    assert messages.exit_code(errors.Corrupt()) == 1
    assert messages.exit_code(errors.UnsafePath()) == 1
    assert messages.exit_code(KeyError("x")) == 1


def test_a_refusal_is_told_once_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    said = "The file ends 100 bytes before its last tensor does."
    cut = Finding("file_truncated", "error", said)
    aside = Finding("family_unknown", "info", "No rule knows these names.")
    error = errors.UploadRefused(f"noir.safetensors: {said}", findings=(cut, aside))
    assert messages.report(error, wants_json=False) == 1
    told = capsys.readouterr().err
    assert told.count(said) == 1
    assert "file_truncated: Save or download it again." in told
    assert "family_unknown: No rule knows these names.\n" in told
