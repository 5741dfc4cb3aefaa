"""Server CPU of the browse page with 24 cards, against the same page without any.

The smallest answer of the server, which asks the database one question and writes 30 bytes,
stands beside it to tell what pages cost at all.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from benchmarks.results import Result, medians
from benchmarks.setup.adapters import write_adapter
from benchmarks.setup.hubs import measured_hub
from benchmarks.setup.processes import spent_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.setup.hubs import Measured

CARDS = 24
REQUESTS, ROUNDS = 60, 5

LIMIT = 6.0


def run() -> list[Result]:
    """Measure GET /browse on one connection."""
    with measured_hub() as measured:
        _publish(measured)
        full, empty, smallest = medians(
            _cost(measured, "/browse", cards=CARDS),
            _cost(measured, "/browse?q=nothing-has-this-name", cards=0),
            _cost(measured, "/healthz", cards=0),
            rounds=ROUNDS,
        )
    case, unit = f"browse page, {CARDS} cards", "CPU ms"
    return [
        Result("pages", case, full, empty, "the same page without a card", unit, LIMIT),
        Result("pages", case, full, smallest, "/healthz", unit),
    ]


def _publish(measured: Measured) -> None:
    path = measured.folder / "small.safetensors"
    uploads = []
    for number in range(CARDS):
        write_adapter(path, rank=1, tensors=60, seed=number)
        uploads.append(measured.ada.send(path.read_bytes()).document["id"])
    for number, upload in enumerate(uploads):
        assert measured.ada.final_state(upload) == "accepted"
        name = f"card-{number}"
        made = measured.ada.post(
            "/api/v1/adapters",
            {"name": name, "title": f"Card {number}", "summary": "To measure.", "tags": ["bench"]},
        )
        assert made.status == 201, made.body
        place = f"/api/v1/adapters/ada/{name}/versions"
        version = measured.ada.post(place, {"uploads": [upload], "trigger_words": ["bench style"]})
        assert version.status == 201, version.body


def _cost(measured: Measured, path: str, *, cards: int) -> Callable[[], float]:
    """Return a measure of CPU milliseconds per request of the web processes."""

    def fetch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", measured.hub.port, timeout=30)
        for _ in range(REQUESTS):
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, response.status
            assert body.count(b'href="/ada/card-') >= cards
        connection.close()

    def measure() -> float:
        return 1000 * spent_by(measured.web, fetch) / REQUESTS

    fetch()  # warm: templates, caches
    return measure
