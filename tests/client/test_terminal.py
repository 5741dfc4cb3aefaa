"""The command line where things get in its way: full outputs, narrow windows, waits, slips."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.file_locks import exclusive
from tests.client.conftest import CLI, parts, sha

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"
PATH = "noir.safetensors"
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["pull", "--help"], ["info", NAME], ["info", NAME, "--json"],
     ["search", "--json"], ["versions", NAME]],
)  # fmt: skip
def test_an_output_that_is_full_is_said_in_one_line(
    fake: FakeHub, environment: dict[str, str], words: list[str], unbuffered: str
) -> None:
    fake.publish(NAME, {PATH: b"1"})
    environment["PYTHONUNBUFFERED"] = unbuffered
    with FULL.open("w") as full:
        done = subprocess.run(
            [*CLI, *words], stdout=full, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.decode().strip().splitlines()
    assert re.fullmatch(r"lorary: (the output cannot be written: )?No space left on device", line)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["info", "a/b", "--json"], ["nothing", "--json"], ["info", "x"]])
def test_a_refusal_with_nowhere_to_go_has_an_exit_code(
    environment: dict[str, str], words: list[str]
) -> None:
    with FULL.open("w") as full:
        pipe = subprocess.PIPE
        for out, err in ((full, pipe), (pipe, full), (full, full)):
            done = subprocess.run(
                [*CLI, *words], stdout=out, stderr=err, env=environment, check=False
            )
            assert 1 <= done.returncode <= 3
            assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("pul", "pull"), ("serach", "search"), ("PUSH", "push"), ("download", "pull"),
     ("upload", "push"), ("publish", "push"), ("find-hash", "find")],
)  # fmt: skip
def test_a_slip_gets_a_hint(run: Run, word: str, meant: str) -> None:
    ran = run(word, NAME)
    assert ran.code == 2
    assert f"there is no command “{word}”; did you mean “{meant}”?" in ran.err


def test_a_word_that_is_like_no_command_gets_none(run: Run) -> None:
    assert "did you mean" not in run("xyzzy").err


def test_interrupting_says_what_is_kept_and_how_to_go_on(
    fake: FakeHub, home: Path, environment: dict[str, str], weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.05
    process = subprocess.Popen(
        [*CLI, "pull", NAME], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    deadline = time.monotonic() + 20
    while not any(part.stat().st_size > 500_000 for part in parts(home)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    line = err.decode().strip()
    match = re.fullmatch(
        r"lorary: interrupted\. ([0-9.]+) (?:[kM]B )?of 3\.0 MB of noir\.safetensors was kept\. "
        r"Run the same command again to resume\.",
        line,
    )
    assert match, line


def test_a_wait_for_another_process_is_said(
    run: Run, fake: FakeHub, home: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    data = b"noir"
    fake.publish(NAME, {PATH: data})
    folder = tmp_path / "loras"
    for made in (folder, home / "cache" / "locks"):
        made.mkdir(parents=True)
    waits = {
        home / "cache" / "locks" / f"{sha(data)}.lock": f"another process that downloads {PATH}",
        folder / ".lorary.lock": f"another pull to {folder}",
    }
    for lock, said in waits.items():
        with exclusive(lock):
            process = subprocess.Popen(
                [*CLI, "pull", NAME, "--to", str(folder)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
            assert process.stderr is not None
            assert process.stderr.readline() == f"lorary: Waiting for {said}.\n"
        process.communicate(timeout=20)
        assert process.returncode == 0
        (folder / PATH).unlink()


def test_a_wait_for_a_busy_hub_is_said(run: Run, fake: FakeHub, waits: list[float]) -> None:
    fake.publish(NAME, {PATH: b"noir"})
    fake.answers = [("versions/", 503, {"Retry-After": "9"}, b'{"detail": "The hub restarts."}')]
    ran = run("pull", NAME)
    assert ran.code == 0
    assert ran.err == "lorary: The hub restarts. Trying again (1 of 4) in 9 s.\n"
    assert 9 in waits


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_bars_fit_the_window(
    fake: FakeHub, environment: dict[str, str], weights: bytes, columns: int
) -> None:
    name = f"{'a-long-name-' * 5}.safetensors"
    fake.publish(NAME, {name: weights})
    fake.slow_s = 0.02
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*CLI, "pull", NAME], stdin=slave, stdout=subprocess.DEVNULL, stderr=slave,
        env={**environment, "TERM": "xterm", "COLUMNS": str(columns)}, close_fds=True,
    )  # fmt: skip
    os.close(slave)
    screen = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:
            break
        if not block:
            break
        screen += block
    os.close(master)
    assert process.wait(20) == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode()).replace("\r", "\n").splitlines()
    drawn = [line for line in lines if "Downloading" in line]
    assert drawn
    assert max(map(len, drawn)) <= columns
    assert all(re.search(r"[0-9.]+/3\.0 MB", line) for line in drawn)


@pytest.mark.parametrize("place", ["missing/night.png", ".", "file/night.png"])
def test_a_picture_with_no_place_is_refused_before_it_is_rendered(
    run: Run, fake: FakeHub, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    ran = run("try", NAME, "--prompt", "a mill", "--out", tmp_path / place, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")
    assert "--out" in ran.err
    assert fake.seen == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files, from root either")
def test_a_picture_on_a_disk_that_takes_none_is_refused(run: Run, fake: FakeHub) -> None:
    assert run("try", NAME, "--prompt", "a mill", "--out", "/proc/night.png").code == 2
    assert fake.seen == []
