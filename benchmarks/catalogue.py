"""Pages and lists of a hub with many generated adapters: wall and CPU time of each request.

Of 20 requests, 19 take at most 100 ms by the clock and 60 ms of CPU time with 100,000 adapters on
SQLite, 150 ms and 100 ms with more on PostgreSQL, including the CPU time of its processes. On a
slower machine these limits are longer (``benchmarks.setup.speed``). A publication takes at most 1.2
times the CPU time that it takes on an empty hub.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import time
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from benchmarks.results import Result, table
from benchmarks.setup.adapters import write_adapter
from benchmarks.setup.hubs import Measured, weights_of
from benchmarks.setup.processes import in_turn, parent, spent_by, wait_idle
from benchmarks.setup.speed import slowness
from tests.e2e.talk import caller, sent_from
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Callable

ADAPTERS = 100_000
#: Requests of each address, and the one in order of time that must keep the bound.
REQUESTS, P95 = 20, 18
#: Limits of wall and CPU time in ms, up to ``ADAPTERS`` and above.
LIMITS_MS, LARGE_LIMITS_MS = (100.0, 60.0), (150.0, 100.0)
#: Publications on each hub, and the most that one costs against one on an empty hub.
PUBLICATIONS, DEARER = 15, 1.2
#: Seconds that generating may take.
PATIENCE_S = 3600.0


def run(adapters: int = ADAPTERS, data: Path | None = None, database: str = "") -> list[Result]:
    """Generate a hub and measure GET of its pages and lists on one connection.

    Args:
        adapters: How many are generated.
        data: A data directory that is kept. If it exists, its hub is measured as it is.
        database: URL of the hub's PostgreSQL database; SQLite without it.
    """
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        # With base models, the worker would queue a preview of each version at its start.
        bases = Path(place) / "bases.toml"
        bases.touch()
        settings = {
            "PAGES_PER_MINUTE": "1000000",
            "DRAWN_PER_MINUTE": "1000000",
            "BASES": str(bases),
        }
        if database:
            settings["DATABASE_URL"] = database
        folder = data or Path(place) / "hub"
        is_new = not folder.exists()
        hub = RunningHub(folder, "--queues", "checks", **settings)
        hub.migrate()
        if is_new:
            hub.manage("generate", "--adapters", str(adapters), "--seed", "1", timeout_s=PATIENCE_S)
        if database:
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # as autovacuum does, which may be off
        with hub:
            workers = [hub.pid_of("worker --queues checks")]
            wait_idle(workers, roots=database_servers(hub))
            results = _measured(hub, adapters)
            with RunningHub(Path(place) / "empty", "--queues", "checks", BASES=str(bases)) as empty:
                return [*results, publications(hub, empty, f"{adapters:,} adapters: publication")]


def publications(hub: RunningHub, empty: RunningHub, case: str) -> Result:
    """Return the CPU time that publishing a small file takes on a hub, against an empty one."""
    works = []
    for one in (hub, empty):
        measured = Measured(one, caller(one, "ada"), one.data.parent)
        works.append(([*measured.web, *measured.checks], _publishing(measured)))
    ours, theirs = (1000 * spent.cpu_s for spent in in_turn(*works, rounds=PUBLICATIONS))
    return Result("catalogue", case, ours, theirs, "an empty hub", "CPU ms", DEARER)


def _publishing(measured: Measured) -> Callable[[], None]:
    """Return a function that publishes a file as a new adapter."""
    numbers = itertools.count(int(time.time()))  # a kept hub has those of earlier runs

    def publish() -> None:
        number = next(numbers)
        name = f"bench-{number}"
        path = measured.folder / f"{name}.safetensors"
        size = write_adapter(path, rank=1, seed=number)
        fields = {"name": name, "title": "Film Noir", "tags": ["noir", "ink"], "kind": "style"}
        made = measured.ada.post("/api/v1/adapters", fields)
        assert made.status == 201, made.body
        upload = measured.ada.sent_stream(sent_from(path), size, path.name)
        path.unlink()
        assert measured.ada.final_state(upload) == "accepted"
        address = f"/api/v1/adapters/ada/{name}/versions"
        version = measured.ada.post(address, {"uploads": [upload]})
        assert version.status == 201, version.body

    return publish


def _measured(hub: RunningHub, adapters: int) -> list[Result]:
    web = [pid for pid, words in hub.pids().items() if "gunicorn" in words]
    servers = database_servers(hub)
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    wall_ms, cpu_ms = LIMITS_MS if adapters <= ADAPTERS else LARGE_LIMITS_MS
    before, taken = slowness(), list[tuple[str, str, float, float]]()
    for case, path in addresses(lambda path: _fetch(connection, path)).items():
        walls, costs = [], []
        get = partial(_fetch, connection, path)
        for _ in range(REQUESTS + 1):
            began = time.perf_counter()
            costs.append(1000 * spent_by(web, get, roots=servers))
            walls.append(1000 * (time.perf_counter() - began))
        for unit, figures, limit in (("ms", walls, wall_ms), ("CPU ms", costs, cpu_ms)):
            value = sorted(figures[1:])[P95]  # the first request fills caches
            name = f"{adapters:,} adapters: {case}"
            taken.append((name, unit, value, limit))
    slower = min(before, slowness())  # other processes may have slowed one of the two down
    return [
        Result("catalogue", name, value, limit * slower, f"{limit:g} ms x {slower:.2f}", unit, 1.0)
        for name, unit, value, limit in taken
    ]


def database_servers(hub: RunningHub) -> list[int]:
    """Return PostgreSQL's main process, the parent of its connections; none with SQLite."""
    if not (database := hub.environ.get("LORARY_DATABASE_URL")):
        return []
    with psycopg.connect(database) as connection:
        return [parent(connection.info.backend_pid)]


def _fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, (path, response.status, body[:300])
    return body


def addresses(fetch: Callable[[str], bytes]) -> dict[str, str]:
    """Return case → path; words, tags and names are those that the hub has.

    Args:
        fetch: Returns the body of a path of the hub.
    """
    found = json.loads(fetch("/api/v1/adapters?limit=100"))["results"]
    words = Counter(word for one in found for word in one["title"].split() if word.isalpha())
    tags = Counter(tag for one in found for tag in one["tags"])
    common, second = (word for word, _n in words.most_common(2))
    one = next(one for one in found if one["family"] and len(one["title"].split()) > 1)
    (tag, _n), (other, _n) = tags.most_common(2)
    family, kind = one["family"], one["kind"]
    place = f"/api/v1/adapters/{one['full_name']}/versions/{one['latest_version']}"
    sha256 = weights_of(json.loads(fetch(place)))[0]["sha256"]
    queries = {
        "a common word": common,
        "a rare word": one["full_name"].partition("/")[2],
        "two words": f"{common} {second}",
        "a phrase": f'"{one["title"]}"',
        "a prefix": common[:3],
        "a typo": common[:1] + common[2:3] + common[1:2] + common[3:],
        "a field": f"base:{family} {common}",
        "a hash": sha256,
    }
    return {
        "home": "/",
        "browse": "/browse",
        "browse, most downloads": "/browse?sort=downloads",
        "browse, one filter": f"/browse?family={family}",
        "browse, one tag": f"/browse?tag={quote(tag)}",
        "browse, two tags": f"/browse?tag={quote(tag)}&tag={quote(other)}",
        "browse, permissions": "/browse?permission=commercial&permission=changes",
        "browse, a rating": "/browse?q=rating:%3Cmature",
        "browse, two filters": f"/browse?family={family}&kind={kind}",
        "browse, three filters": f"/browse?family={family}&kind={kind}&tag={quote(tag)}",
        **{f"browse, {case}": f"/browse?q={quote(q)}" for case, q in queries.items()},
        **{f"API, {case}": f"/api/v1/adapters?q={quote(q)}" for case, q in queries.items()},
        "adapter page": f"/{one['full_name']}",
        "profile": f"/{one['owner']}",
        "API, look-up by hash": f"/api/v1/hashes/{sha256}",
        "Hugging Face, models": "/api/models?limit=100",
        "Hugging Face, models with a tag": f"/api/models?filter={quote(tag)}&limit=100",
        "Hugging Face, models with words": f"/api/models?search={quote(common)}&limit=100",
        "Hugging Face, tags by type": "/api/models-tags-by-type",
        "Civitai, models": "/api/v1/models?limit=100",
        "Civitai, models with a tag": f"/api/v1/models?tag={quote(tag)}&limit=100",
        "Civitai, a model": f"/api/v1/models/{one['id']}",
        "Civitai, images": "/api/v1/images?limit=100",
        "Civitai, tags": "/api/v1/tags",
        "Civitai, creators": "/api/v1/creators",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("--adapters", type=int, default=ADAPTERS, help=f"default: {ADAPTERS}")
    parser.add_argument(
        "--data",
        type=Path,
        help="data directory that is kept; an existing one is measured as it is",
    )
    parser.add_argument("--database", default="", metavar="URL", help="PostgreSQL database to use")
    print(table(run(**vars(parser.parse_args()))))
