"""The supervisor with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN_CODE = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
STUBBORN = [sys.executable, "-c", STUBBORN_CODE]
# A signal every 100 µs at most, each into another moment of the wait of a new supervisor.
SIGNALLED_ANYWHERE = """
import random, signal
from hub.operations import supervisor
supervisor.POLL_S = 0.0001
for _ in range(2000):
    hub = supervisor.Supervisor([], say=print)
    signal.signal(signal.SIGALRM, hub._on_signal)
    moment_s = 1e-6 + random.random() * 1e-4
    hub.run(on_started=lambda: signal.setitimer(signal.ITIMER_REAL, moment_s))
"""


@contextmanager
def start(children: str, *, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a supervisor of the described children; it prints the pid of each child it starts."""
    code = textwrap.dedent(
        f"""
        import sys
        from hub.operations import supervisor
        from hub.operations.supervisor import Child, Supervisor
        {before}
        class Loud(Child):
            __slots__ = ()
            def start(self):
                super().start()
                print(self.process.pid, flush=True)
        SLEEP, STUBBORN = {SLEEP!r}, {STUBBORN!r}
        sys.exit(Supervisor([{children}], say=lambda text: print(text, flush=True)).run())
        """
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # a failed test must not wait for what did not end


def read_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int, within_s: float = 5) -> bool:
    until = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_every_child(number: signal.Signals) -> None:
    with start("Loud('a', SLEEP), Loud('b', SLEEP)") as process:
        pids = [read_pid(process), read_pid(process)]
        process.send_signal(number)
        assert process.wait(10) == 0
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.slow
def test_signal_at_any_moment_ends_the_wait() -> None:
    command = [sys.executable, "-c", SIGNALLED_ANYWHERE]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)


@pytest.mark.slow
def test_child_that_ignores_the_signal_is_killed() -> None:
    with start("Loud('a', STUBBORN)", before="supervisor.STOP_S = 0.5") as process:
        pid = read_pid(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not is_alive(pid)


@pytest.mark.slow
def test_child_that_dies_is_started_again() -> None:
    with start("Loud('a', SLEEP)") as process:
        first = read_pid(process)
        os.kill(first, signal.SIGKILL)
        assert process.stdout is not None
        assert process.stdout.readline() == "a ended (signal SIGKILL): restarting in 1 s.\n"
        second = read_pid(process)
        assert second != first
        process.terminate()
        process.wait(10)
    assert not is_alive(second)


@pytest.mark.slow
def test_end_of_an_essential_child_ends_all_with_an_error() -> None:
    with start("Loud('web', SLEEP, is_essential=True), Loud('b', SLEEP)") as process:
        web, other = read_pid(process), read_pid(process)
        os.kill(web, signal.SIGKILL)
        assert process.wait(10) == 1
    assert not is_alive(other)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_killed_supervisor_takes_its_children_along() -> None:
    with start("Loud('a', SLEEP), Loud('b', STUBBORN)") as process:
        pids = [read_pid(process), read_pid(process)]
        process.kill()
        process.wait(10)
    assert all(wait_gone(pid) for pid in pids)


@pytest.mark.slow
def test_child_that_was_told_to_end_stays_away() -> None:
    done = [sys.executable, "-c", "pass"]
    with start(f"Loud('a', {done!r}), Loud('b', SLEEP)") as process:
        read_pid(process)
        other = read_pid(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "a exited with code 0.\n"
        assert is_alive(other)
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.slow
def test_supervisor_of_children_that_were_all_told_to_end_ends() -> None:
    done = [sys.executable, "-c", "pass"]
    with start(f"Loud('a', {done!r})") as process:
        read_pid(process)
        assert process.wait(10) == 0
