"""Three web nodes behind nginx in random order, of which one is killed, or what they stand on.

People's programs go over the hub twenty times, while others send files. In three of four passes
the shared cache (Redis), the broker or a web node is killed, and comes back after a while.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, cast

from tests.clients.environments import environment
from tests.nginx import Nginx, in_front_of, log_of, program
from tests.running import ROOT, free_port
from tools.clients.passes import PART_BYTES, Clients
from tools.faults.clients.crew import at_work, verify
from tools.faults.servers.hubs import FaultyHub
from tools.faults.servers.processes import Broker
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tools.faults.trials import Plan, Trial

log = logging.getLogger(__name__)

NODES, WORKERS = 3, 2
PASSES = 20
#: Clients that send files meanwhile, sizes of these, and their longest pause between two pieces.
SENDERS, SIZES, SLOWNESS_S = 2, (200_000, 12_000_000), 0.05
#: Longest wait for the kill from the start of a pass on, and seconds until the killed one is back.
KILL_WITHIN_S, AWAY_S = 15.0, 15.0
#: Seconds after a kill from which on no request may begin that is answered by 5xx.
NOTICED_S = 5.0
#: What nginx answers for a node that is gone, and a node without its database.
OF_KILLS = frozenset({502, 503, 504})

_LINE = re.compile(r"\[(?P<end>[\d.]+)\] (?P<what>\".*?\") (?P<status>\d{3}) \d+ (?P<took>[\d.]+) ")


def run(plan: Plan, trial: Trial) -> None:
    """Pass over the hub in peace, then under kills; nothing acknowledged is lost."""
    own, broker = plan.environment, plan.environment.rabbitmq
    if own.postgres is None or broker is None or own.bucket is None or program() is None:
        message = "needs nginx, --database postgres --broker rabbitmq --storage s3"
        raise Skipped(message)
    civitai = environment(plan.folder / "civitai", ROOT / "tests" / "clients" / "civitai.txt")
    with ExitStack() as stack:
        redis = stack.enter_context(Broker(plan.folder))
        nodes = _nodes(plan, redis, stack)
        door, access_log = stack.enter_context(_balanced(plan, nodes))
        (ada,) = door.callers("ada")
        clients = Clients(door, plan.folder / "programs", ada.token, civitai)
        kills, turns = list[float](), cycle(nodes)
        with at_work(plan, door, trial, clients=SENDERS, sizes=SIZES, pause_s=SLOWNESS_S) as crew:
            victims: dict[str, Callable[[], None]] = {
                "Redis": lambda: redis.restart(AWAY_S),
                "the broker": lambda: broker.restart(AWAY_S),
                "a node": lambda: _restart(next(turns)),
            }
            _pass_over(clients, victims, kills, trial, Random(plan.seed))
        for adapter, digest in clients.published.items():
            body = ada.get(f"/{adapter}/resolve/main/noir.safetensors").body
            is_same = hashlib.sha256(body).hexdigest() == digest
            trial.expect(is_same, f"{adapter} has other bytes in the end")
        trial.numbers["files of programs compared in the end"] = len(clients.published)
        verify(door, crew, trial, allowed=OF_KILLS)
        for node in nodes[1:]:
            trial.faults += [f"a log tells of error {number}" for number in node.surprises()]
        _judge_log(access_log, kills, trial)


def _nodes(plan: Plan, redis: Broker, stack: ExitStack) -> list[FaultyHub]:
    """Start nodes with a data directory each; the first has the workers."""
    settings = {
        "CACHE_URL": redis.url,
        "SECRET_KEY": secrets.token_hex(32),
        "UPLOAD_PART_BYTES": str(PART_BYTES),
        "TRUST_PROXY": "true",
    }
    first = plan.environment.hub("nodes", workers=WORKERS, webs=1, **settings)
    first.environ["LORARY_STORAGE"] += "&links=no"  # as in compose.yaml: bytes pass through nodes
    nodes = [first]
    for number in range(1, NODES):
        node = FaultyHub(plan.folder / f"node{number}", workers=0, webs=1)
        node.environ = first.environ | {"LORARY_DATA": str(node.data)}
        nodes.append(node)
    for node in nodes:
        stack.enter_context(node)
    return nodes


@contextmanager
def _balanced(plan: Plan, nodes: list[FaultyHub]) -> Iterator[tuple[FaultyHub, Path]]:
    """Yield what stands for the hub, with the address of nginx, and the log of nginx."""
    port, data = free_port(), plan.folder / "nginx"
    text = in_front_of(nodes[0].port, data, port)
    only = f"server 127.0.0.1:{nodes[0].port};"
    servers = [f"server 127.0.0.1:{node.port} max_fails=1 fail_timeout=5s;" for node in nodes]
    assert text.count(only) == text.count("[$time_local]") == 1
    text = text.replace(only, "\n".join(["random;", *servers]))
    text = text.replace("[$time_local]", "[$msec]")
    nodes[0].probe  # noqa: B018 - both look by the same one
    door = cast("FaultyHub", nodes[0].beside())
    door.port, door.url, door.log = port, f"http://127.0.0.1:{port}", nodes[0].log
    with Nginx(data / "run", port, text):
        yield door, log_of(data)


def _restart(node: FaultyHub) -> None:
    node.kill_web()
    time.sleep(AWAY_S)
    node.start()


def _pass_over(
    clients: Clients,
    victims: dict[str, Callable[[], None]],
    kills: list[float],
    trial: Trial,
    random: Random,
) -> None:
    passed, killed, seconds = 0, Counter[str](), []
    for number in range(PASSES):
        name = ["", *victims][number % (len(victims) + 1)]
        kill = threading.Thread(
            target=_kill, args=(victims.get(name), kills, random.random() * KILL_WITHIN_S)
        )
        kill.start()
        began = time.monotonic()
        faults = clients.run(number)
        seconds.append(time.monotonic() - began)
        kill.join()
        passed += not faults
        killed[name or "nothing"] += 1
        log.info("pass %d, %s killed: %s", number, name or "nothing", ", ".join(faults) or "passed")
        trial.faults += [
            f"pass {number}, {name or 'nothing'} killed: {call}: {text}"
            for call, text in faults.items()
        ]
    trial.numbers["web nodes, checks workers"] = f"{NODES}, {WORKERS}"
    trial.numbers["passes of all clients that ended with right bytes"] = f"{passed} of {PASSES}"
    trial.numbers["killed in the middle of a pass"] = dict(killed)
    trial.numbers["longest pass, s"] = max(seconds)


def _kill(restart: Callable[[], None] | None, kills: list[float], after_s: float) -> None:
    if restart is None:
        return
    time.sleep(after_s)
    kills.append(time.time())
    restart()


def _judge_log(file: Path, kills: list[float], trial: Trial) -> None:
    """Read from nginx's log which answers were 5xx, and when their requests began."""
    count, cut = 0, 0
    for line in file.read_text().splitlines():
        found = _LINE.search(line)
        if found is None:
            trial.faults.append(f"nginx wrote {line}")
            continue
        count += 1
        if int(found["status"]) < 500:
            continue
        end = float(found["end"])
        began = end - float(found["took"])
        if any(began < kill + NOTICED_S and end > kill for kill in kills):
            cut += 1
        else:
            trial.faults.append(f"{found['status']} for {found['what']}, {kills=}, {began=:.1f}")
    trial.numbers["requests at nginx"] = count
    trial.numbers["of these, 5xx of requests begun before a kill or within 5 s of it"] = cut
