"""What goes to which channel, and how commands end when something goes wrong."""

from __future__ import annotations

import importlib
import json
import os
import pty
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from lorary.cli.output.text import note, show
from tests.client.conftest import CLI, Ran

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


def test_no_network_exits_with_5(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARY_ENDPOINT", "http://127.0.0.1:9")
    ran = run("search", "--json")
    assert ran.code == 5
    assert ran.document["error"]["code"] == "unreachable"


def test_surprise_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = importlib.import_module("lorary.cli.commands.adapters.catalogue")

    def broken(_args: object) -> int:
        msg = "bug\n\x1b[31m"
        raise KeyError(msg)

    command = catalogue.COMMANDS["search"]
    monkeypatch.setitem(
        catalogue.COMMANDS, "search", type(command)("x", "x", command.configure, broken)
    )
    ran = run("search", "--json")
    assert ran.code == 1
    assert ran.document["error"]["code"] == "unexpected"
    assert len(ran.err.splitlines()) == 1
    assert "\x1b" not in ran.err
    monkeypatch.setenv("LORARY_DEBUG", "1")
    with pytest.raises(KeyError):
        run("search")


def test_system_error_is_one_line(
    run: Run, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NAME, {"a.safetensors": b"w"})
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "file" / "home"))
    ran = run("pull", NAME, "--json")
    assert ran.code in {1, 2}
    assert "Not a directory" in ran.err


def test_reader_that_leaves_is_no_failure(fake: FakeHub, environment: dict[str, str]) -> None:
    for number in range(40):
        fake.adapters[f"ada/noir{number}"] = fake.adapter(f"ada/noir{number}", card="x" * 5000)
    fake.page_size = 100
    process = subprocess.Popen(
        [*CLI, "search", "--json"], env=environment, stdout=-1, stderr=-1, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_hostile_text_cannot_steer_the_terminal(run: Run, fake: FakeHub) -> None:
    fake.publish(NAME, {"a.safetensors": b"w"})
    fake.adapters[NAME] |= {"title": "a\x1b]0;evil\x07\nb", "summary": "\u202egnp.exe"}
    out = run("info", NAME).out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "a�]0;evil� b" in out
    fake.publish("ada/evil", {"a.safetensors": b"v"}, version="v\x1b]0;evil\x07\n1", state="yanked")
    fake.answers.append(("a.safetensors$", 200, {}, b"v"))
    assert "v�]0;evil� 1 was yanked: no reason given" in run("pull", "ada/evil").err


def test_text_that_was_not_checked_is_checked_when_it_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    style = "\x1b[31mred\x1b[0m"
    show(f"a\x1b[2J\x9b2J {style}\n\tb  c\u202e")
    note("a\x1b]0;evil\x07")
    out, err = capsys.readouterr()
    assert out == f"a�[2J�2J {style}\n\tb  c�\n"
    assert err == "a�]0;evil�\n"


def test_json_is_ascii_whatever_the_terminal_takes(
    fake: FakeHub, environment: dict[str, str]
) -> None:
    fake.publish(NAME, {"a.safetensors": b"w"}, label="フィルム\u2028ノワール")
    own = environment | {"PYTHONIOENCODING": "ascii"}
    command = [*CLI, "info", f"{NAME}@v1"]
    done = subprocess.run([*command, "--json"], env=own, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["label"] == "フィルム\u2028ノワール"
    done = subprocess.run(command, env=own, capture_output=True, check=True)
    assert b"????" in done.stdout


def test_token_over_plain_http_warns_on_standard_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("LORARY_ENDPOINT", "http://hub.example")
    ran = run("whoami", "--json")
    assert ran.code == 5
    assert ran.err.startswith("lorary: warning: http://hub.example is not encrypted")


def test_progress_is_drawn_on_a_terminal_only(
    fake: FakeHub, environment: dict[str, str], weights: bytes
) -> None:
    fake.publish(NAME, {"a.safetensors": weights})
    fake.slow_s = 0.01
    master, slave = pty.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        try:
            while block := os.read(master, 65536):
                drawn.append(block)
        except OSError:  # the terminal is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    command = [*CLI, "pull", NAME, "--json"]
    own = environment | {"TERM": "xterm"}
    done = subprocess.run(command, env=own, stdout=-1, stderr=slave, check=True)
    os.close(slave)
    reader.join()
    os.close(master)
    assert b"Downloading a.safetensors" in b"".join(drawn)
    assert len(done.stdout.splitlines()) == 1
