"""Ten thousand jobs that wait: the price of each, many workers, workers that are ended.

The jobs have nothing to do, so that what is measured is the queue. Real workers take them: by
turns two of sixteen, the others paused, and all sixteen, so that a machine that is busy with
something else slows both alike.
"""

from __future__ import annotations

import signal
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from tools.faults import namesakes
from tools.faults.servers.services import wait_until
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from subprocess import Popen

    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.servers.services import Postgres
    from tools.faults.trials import Plan, Trial

JOBS, WORKERS, FEW = 10_000, 16, 2
#: Turns of the few and of all; jobs of a turn that are measured, and those before them, while
#: workers come and go.
TURNS, MEASURED, SETTLING = 3, 1000, {FEW: 100, WORKERS: 250}
#: Bounds: of the statement that claims a job, of a job, and of all workers against the few.
CLAIM_MS, JOB_CPU_MS, LEAST_RATIO = 2.0, 10.0, 0.8
#: Workers ended by SIGTERM, each in the middle of so many jobs of these seconds.
DRAINS, DRAINED_JOBS, DRAINED_S = 5, 100, 0.1
#: Hosts with one name, and mean seconds until a worker on one of them is killed.
HOSTS, KILL_AFTER_S = 4, 1.5
#: What also knows jobs without work.
IDLE_WORKER = ["-m", "tools.faults.rows.idle_worker"]
START_S, END_S, LOOK_S = 300.0, 900.0, 0.25


_CLAIMS = """
SELECT sum(calls), sum(total_exec_time + total_plan_time) FROM pg_stat_statements
WHERE query LIKE '%UPDATE registry_job%FOR UPDATE SKIP LOCKED%'
"""


def run(plan: Plan, trial: Trial) -> None:
    """Run the queue empty, with workers that are ended, and with hosts of one name."""
    postgres = plan.environment.postgres
    if postgres is None:
        message = "this is about PostgreSQL (--database postgres)"
        raise Skipped(message)
    _load_statistics(postgres)
    hub = plan.environment.hub("queue", workers=WORKERS)
    hub.worker_program = IDLE_WORKER
    url = hub.environ["LORARY_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE EXTENSION pg_stat_statements")
        try:
            for number in range(WORKERS):
                hub.start_worker(number)
            wait_until(lambda: len(hub.probe.ask("jobs_done")) == WORKERS, START_S, "no workers")
            hub.probe.ask("watch_ends")
            _emptied(_Queue(hub, postgres, database), trial)
            drain(hub, trial, times=DRAINS)
            for worker in hub.workers:
                worker.terminate()
            _namesakes(plan, hub, trial)
        finally:
            hub.__exit__(None, None, None)


def _load_statistics(postgres: Postgres) -> None:
    postgres.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    postgres.restart()
    postgres.execute("ALTER SYSTEM SET pg_stat_statements.track_planning = 'on'")
    postgres.execute("SELECT pg_reload_conf()")


@dataclass(frozen=True)
class _Reading:
    """What was read at a moment: seconds, jobs that are left, CPU seconds, claims and their ms."""

    at: float
    left: int
    workers_cpu_s: float
    postgres_cpu_s: float
    claims: int
    claims_ms: float


@dataclass
class _Span:
    """What happened between two readings, per job."""

    jobs_per_s: float
    worker_ms: float
    postgres_ms: float


@dataclass
class _Queue:
    """The queue while it gets shorter."""

    hub: FaultyHub
    postgres: Postgres
    database: psycopg.Connection[Any]
    claim_ms: list[float] = field(default_factory=list)

    def read(self) -> _Reading:
        """Look at it now."""
        assert self.postgres.process is not None
        calls, total_ms = self.database.execute(_CLAIMS).fetchone() or (0, 0)
        return _Reading(
            time.monotonic(),
            self.hub.probe.ask("open", name="long"),
            sum(_cpu_s(worker.pid) for worker in self.hub.workers),
            _cpu_s(self.postgres.process.pid),
            int(calls or 0),
            float(total_ms or 0),
        )

    def until(self, left: int) -> _Reading:
        """Wait until so many jobs are left, and note what claims take meanwhile.

        Raises:
            TimeoutError: the workers do not get so far.
        """
        limit = time.monotonic() + END_S
        last = self.read()
        while last.left > left:
            if time.monotonic() > limit:
                raise TimeoutError(last.left)
            time.sleep(LOOK_S)
            now = self.read()
            if now.claims > last.claims:
                self.claim_ms.append((now.claims_ms - last.claims_ms) / (now.claims - last.claims))
            last = now
        return last

    def span(self, first: _Reading, last: _Reading) -> _Span:
        """Return what a job took between two readings."""
        jobs = first.left - last.left
        return _Span(
            jobs / (last.at - first.at),
            1000 * (last.workers_cpu_s - first.workers_cpu_s) / jobs,
            1000 * (last.postgres_cpu_s - first.postgres_cpu_s) / jobs,
        )


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of those that it started."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + sum(_cpu_s(child.pid) for child in process.children())


def _emptied(queue: _Queue, trial: Trial) -> None:
    """Have the few and all work by turns until nothing waits."""
    hub = queue.hub
    pids = [worker.pid for worker in hub.workers]
    hub.probe.ask("let_work", pids=[])
    hub.probe.ask("enqueue", jobs=JOBS, name="long")
    spans: dict[int, list[_Span]] = {FEW: [], WORKERS: []}
    last = queue.read()
    for _ in range(TURNS):
        for count, found in spans.items():
            hub.probe.ask("let_work", pids=pids[:count])
            first = queue.until(last.left - SETTLING[count])
            last = queue.until(max(0, first.left - MEASURED))
            found.append(queue.span(first, last))
    ended = queue.until(0)
    outcome = hub.probe.ask("outcome", name="long")
    trial.numbers |= {"jobs": outcome["states"], "ended once": outcome["ended once"]}
    trial.expect(outcome["states"] == {"done": JOBS}, f"not all are done: {outcome}")
    trial.expect(outcome["ended once"] == JOBS, f"not all ended once: {outcome}")
    claim_ms = statistics.median(queue.claim_ms)
    trial.numbers["statement that claims, with its plan: median of means, ms"] = claim_ms
    trial.numbers["statement that claims, with its plan: mean, ms"] = ended.claims_ms / ended.claims
    trial.expect(claim_ms <= CLAIM_MS, f"a claim takes {claim_ms:.2f} ms")
    _judge(spans, trial)


def _judge(spans: dict[int, list[_Span]], trial: Trial) -> None:
    """Compare what the few and all did."""
    rates, cpu_ms = dict[int, float](), dict[int, float]()
    for count, found in spans.items():
        rates[count] = statistics.median(span.jobs_per_s for span in found)
        own_ms = statistics.median(span.worker_ms for span in found)
        postgres_ms = statistics.median(span.postgres_ms for span in found)
        cpu_ms[count] = own_ms + postgres_ms
        trial.numbers[f"{count} workers: jobs a second (median)"] = rates[count]
        trial.numbers[f"{count} workers: jobs a second, turn by turn"] = ", ".join(
            f"{span.jobs_per_s:.0f}" for span in found
        )
        trial.numbers[f"{count} workers: CPU ms of a job from claim to end"] = (
            f"{cpu_ms[count]:.1f} (workers {own_ms:.1f}, PostgreSQL {postgres_ms:.1f})"
        )
    ratio = rates[WORKERS] / rates[FEW]
    trial.numbers[f"throughput of {WORKERS} workers against {FEW}"] = ratio
    trial.expect(ratio >= LEAST_RATIO, f"{WORKERS} workers do {ratio:.2f} of what {FEW} do")
    trial.expect(cpu_ms[WORKERS] <= JOB_CPU_MS, f"a job takes {cpu_ms[WORKERS]:.1f} CPU ms")


def drain(hub: FaultyHub, trial: Trial, *, times: int = 1) -> None:
    """End one of two workers in the middle of some jobs; each job ends once.

    Args:
        hub: With two workers at work for each time.
        trial: Where figures and faults are written down.
        times: How often, with other workers and jobs.
    """
    for number in range(times):
        ended, other = hub.workers[2 * number : 2 * number + 2]
        _drain(hub, trial, f"drained{number}", ended, other)
    trial.numbers[f"workers ended by SIGTERM in the middle of {DRAINED_JOBS} jobs"] = times


def _drain(
    hub: FaultyHub, trial: Trial, name: str, ended: Popen[bytes], other: Popen[bytes]
) -> None:
    def left() -> int:
        return int(hub.probe.ask("open", name=name))

    def done() -> int:
        return int(hub.probe.ask("jobs_done_by", pid=ended.pid))

    hub.probe.ask("let_work", pids=[ended.pid, other.pid])
    before = done()
    hub.probe.ask("enqueue", jobs=DRAINED_JOBS, name=name, seconds=DRAINED_S)
    wait_until(lambda: done() > before, END_S, "the worker does nothing")
    ended.send_signal(signal.SIGTERM)
    trial.expect(left(), "the worker was ended too late")
    trial.expect(ended.wait(END_S) == 0, f"a drained worker ended with {ended.returncode}")
    wait_until(lambda: not left(), END_S, "jobs are left")
    outcome = hub.probe.ask("outcome", name=name)
    wanted = {"states": {"done": DRAINED_JOBS}, "ended once": DRAINED_JOBS, "begun again": 0}
    trial.expect(outcome == wanted, f"after SIGTERM: {outcome}")


def _namesakes(plan: Plan, hub: FaultyHub, trial: Trial) -> None:
    """Have workers killed on hosts of one name, and read from their ledger who held what."""
    hub.probe.ask("enqueue", jobs=JOBS, name="stamped", task=namesakes.TASK)
    ledger = plan.folder / "ledger"
    hosts = [
        namesakes.start(
            ledger,
            hub.environ | {"LORARY_DATA": str(plan.folder / f"host{number}")},
            kill_after_s=KILL_AFTER_S,
        )
        for number in range(HOSTS)
    ]
    try:
        for host in hosts:
            trial.expect(host.wait(END_S) == 0, f"a host ended with {host.returncode}")
    finally:
        for host in hosts:
            host.kill()
    lines = ledger.read_text().splitlines()
    try:
        ends = namesakes.verify(lines)
    except namesakes.Doubled as error:
        trial.faults.append(str(error))
        return
    outcome = hub.probe.ask("outcome", name="stamped")
    trial.numbers["jobs of hosts with one name"] = JOBS
    trial.numbers["their workers killed"] = sum(line.startswith("kill") for line in lines)
    trial.numbers["their jobs begun again"] = outcome["begun again"]
    trial.numbers["their jobs ended once"] = outcome["ended once"]
    trial.expect(len(ends) == JOBS, f"{len(ends)} jobs ended by the ledger")
    trial.expect(outcome["states"] == {"done": JOBS}, f"of hosts with one name: {outcome}")
    trial.expect(outcome["ended once"] == JOBS, f"of hosts with one name: {outcome}")
