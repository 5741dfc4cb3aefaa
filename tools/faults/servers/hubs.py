"""A hub whose web server and workers are ended and started one by one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Self

import psutil

from tests.e2e.talk import Caller
from tests.running import ROOT, STOP_S, RunningHub

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: A line of the log that tells of something nobody expected.
_SURPRISE = re.compile(r"ERROR hub\.problems: error ([0-9a-f]{12})")


class Probe:
    """A process with the hub's settings that looks at rows and bytes (``rows.probe``)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.faults.rows.probe"],
            cwd=ROOT,
            env={**environ, "LORARY_GRACE_DAYS": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, **arguments: object) -> Any:
        """Have it do something and return what it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            message = f"the probe ended while it was asked to {what}"
            raise RuntimeError(message)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["said"]

    def end(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        self.process.wait(STOP_S)


class FaultyHub(RunningHub):
    """Web (``up --no-worker``) and workers of ``checks``, each a process group of its own.

    Attributes:
        restarts_s: Seconds from each start of the web server until it answered.
        extra: Variables of each worker, in addition to the hub's; ``web_extra``: of the web server.
    """

    ready_s = 600.0  # many processes may be about, and what is measured is what is kept

    def __init__(self, data: Path, *, workers: int = 1, webs: int = 2, **settings: str) -> None:
        super().__init__(data, "--no-worker", "--workers", str(webs), **settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.worker_program = ["manage.py", "worker"]
        self.extra: list[dict[str, str]] = [{} for _ in range(workers)]
        self.web_extra: dict[str, str] = {}
        self.restarts_s: list[float] = []
        self.kept_probe: Probe | None = None

    def __enter__(self) -> Self:
        try:
            for number in range(len(self.extra)):
                self.start_worker(number)
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *details: Any) -> None:
        groups = [*self.workers, *([self.process] if self.process is not None else [])]
        for group in groups:
            _signal_group(group, signal.SIGTERM)
        for group in groups:
            with suppress(subprocess.TimeoutExpired):
                group.wait(STOP_S)
            _signal_group(group, signal.SIGKILL)
        if self.kept_probe is not None:
            self.kept_probe.end()

    @property
    def probe(self) -> Probe:
        """Somebody who looks into it."""
        if self.kept_probe is None:
            self.kept_probe = Probe(self.environ)
        return self.kept_probe

    def start(self) -> None:
        """Start the web server and wait until it is ready."""
        began, own = time.monotonic(), self.environ
        self.environ = {**own, **self.web_extra}
        try:
            super().start()
        finally:
            self.environ = own
        self.restarts_s.append(time.monotonic() - began)

    def is_ready(self, offset: int) -> bool:
        """Whether it answers; after half a minute it would not say so any more."""
        del offset
        try:
            return Caller(self.port).get("/healthz/live").status < 600
        except (OSError, HTTPException):
            return False

    def start_worker(self, number: int = 0) -> None:
        """Start a worker; it takes a moment until it looks for work."""
        command = [sys.executable, *self.worker_program, "--queues", "checks"]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.environ, **self.extra[number]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.workers[number : number + 1] = [worker]

    def kill_web(self) -> None:
        """End every process of the web server at once."""
        assert self.process is not None
        _signal_group(self.process, signal.SIGKILL)
        self.process.wait(STOP_S)
        assert self.wait_gone()

    def kill_web_process(self, number: int) -> None:
        """End one of those that answer; their master starts another."""
        assert self.process is not None
        with suppress(psutil.NoSuchProcess):
            masters = psutil.Process(self.process.pid).children()
            serving = [child for master in masters for child in master.children()]
            if serving:
                serving[number % len(serving)].kill()

    def kill_worker(self, number: int = 0) -> None:
        """End a worker."""
        _signal_group(self.workers[number], signal.SIGKILL)
        self.workers[number].wait(STOP_S)

    def callers(self, *names: str) -> list[Caller]:
        """Return users of the hub, new ones where there are none, with a token each."""
        tokens = self.probe.ask("tokens", names=list(names))
        return [Caller(self.port, token) for token in tokens]

    def surprises(self) -> list[str]:
        """Return the numbers under which the hub logged errors that nobody expected."""
        return _SURPRISE.findall(self.log.read_text(encoding="utf-8", errors="replace"))


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
