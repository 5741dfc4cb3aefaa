"""Ten thousand parts of the smallest size: taken in any order, and gone when given up."""

from __future__ import annotations

import http.client
import time
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.talk import Caller
    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

PART_BYTES = 64 * 1024
PARTS, SHORT_PARTS = 10_000, 200


def many_tiny_parts(plan: Plan, trial: Trial, hub: FaultyHub, ada: Caller) -> None:
    """Send them in random order, look, complete what is no adapter, and expect the refusal."""
    count = SHORT_PARTS if plan.is_short else PARTS
    answer = ada.announce("many.safetensors", count * PART_BYTES)
    place = f"/api/v1/uploads/{answer.document['id']}"
    numbers = list(range(1, count + 1))
    Random(plan.seed).shuffle(numbers)
    began = time.monotonic()
    statuses = _send(ada, place, numbers)
    trial.numbers["tiny parts a second"] = count / (time.monotonic() - began)
    trial.expect(statuses == {200}, f"tiny parts were answered {statuses}")
    looked = ada.get(place)
    trial.expect(len(looked.document["parts"]) == count, "not every tiny part is listed")
    trial.numbers["bytes of the list of tiny parts"] = len(looked.body)
    began = time.monotonic()
    done = ada.post(f"{place}/complete")
    trial.numbers["completing them, s"] = time.monotonic() - began
    trial.expect(done.status == 422, f"{count} tiny parts of nothing: {done.status}")
    state = ada.get(place).document["state"]
    trial.expect(state == "refused", f"{count} tiny parts of nothing are {state}")
    del hub


def _send(ada: Caller, place: str, numbers: list[int]) -> set[int]:
    """Send parts of zeros over one connection; return the statuses that came."""
    connection = http.client.HTTPConnection("127.0.0.1", ada.port, timeout=60)
    headers = {"Authorization": f"Bearer {ada.token}"}
    data, statuses = bytes(PART_BYTES), set()
    try:
        for number in numbers:
            connection.request("PUT", f"{place}/parts/{number}", body=data, headers=headers)
            response = connection.getresponse()
            response.read()
            statuses.add(response.status)
    finally:
        connection.close()
    return statuses
