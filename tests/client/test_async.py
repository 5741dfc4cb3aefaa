"""`AsyncHub`: the methods of `Hub` as coroutines, cancelled at the next buffer."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from lorary import AsyncHub, Hub, Progress
from tests.client.conftest import parts, sha
from tests.client.fakehandler import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.client.fakehub import FakeHub


def public(cls: type) -> dict[str, Any]:
    return {name: one for name, one in inspect.getmembers(cls) if not name.startswith("_")}


def run(work: Callable[[AsyncHub], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run a coroutine with a hub; no thread may be left."""

    async def main() -> Any:
        async with AsyncHub(**options) as hub:
            result = await work(hub)
        names = [one.name for one in threading.enumerate()]
        assert [name for name in names if name.startswith(("lorary", "asyncio"))] == []
        return result

    return asyncio.run(main())


def test_the_methods_are_those_of_hub_with_the_same_arguments() -> None:
    sync, other = public(Hub), public(AsyncHub)
    assert sync.keys() == other.keys()
    for name in sync.keys() - {"close"}:
        assert inspect.signature(other[name]) == inspect.signature(sync[name]), name
        assert other[name].__doc__ == sync[name].__doc__


def test_many_pulls_at_once_bring_the_right_bytes(fake: FakeHub, weights: bytes) -> None:
    names = [f"studio/noir{number}" for number in range(12)]
    files = {name: weights[: 100_000 + number] for number, name in enumerate(names)}
    for name, data in files.items():
        fake.publish(name, {"noir.safetensors": data})

    async def work(hub: AsyncHub) -> list[Any]:
        return await asyncio.gather(*(hub.pull(name) for name in names), hub.info(names[0]))

    *pulled, adapter = run(work, threads=4)
    assert [one.path.read_bytes() for one in pulled] == list(files.values())
    assert adapter.full_name == names[0]


def test_progress_arrives_in_the_event_loop_before_the_result(
    fake: FakeHub, weights: bytes
) -> None:
    fake.publish("studio/noir", {"noir.safetensors": weights})
    seen: list[Progress] = []
    threads = set()

    def report(update: Progress) -> None:
        threads.add(threading.current_thread())
        seen.append(update)

    async def work(hub: AsyncHub) -> Progress:
        await hub.pull("studio/noir", on_progress=report)
        return seen[-1]

    assert run(work) == Progress("fetch", "noir.safetensors", len(weights), len(weights))
    assert threads == {threading.main_thread()}
    assert len(seen) > 3


def test_a_cancelled_pull_ends_at_the_next_buffer_and_goes_on_later(
    fake: FakeHub, weights: bytes, home: Path
) -> None:
    fake.publish("studio/noir", {"noir.safetensors": weights})
    fake.slow_s = 0.05

    async def work(hub: AsyncHub) -> int:
        begun = asyncio.Event()
        task = asyncio.create_task(hub.pull("studio/noir", on_progress=lambda _update: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        at_cancel = parts(home)[0].stat().st_size
        await asyncio.sleep(20 * fake.slow_s)  # the hub could send 20 blocks
        return parts(home)[0].stat().st_size - at_cancel

    assert run(work) <= 2 * BLOCK
    (part,) = parts(home)
    assert part.stat().st_size < len(weights)
    fake.slow_s = 0.0
    before = part.stat().st_size
    pulled = run(lambda hub: hub.pull("studio/noir"))
    assert pulled.path.read_bytes() == weights
    assert pulled.files[0].bytes_fetched == len(weights) - before


def test_a_cancelled_push_leaves_a_transfer_that_goes_on(
    fake: FakeHub, tmp_path: Path, lora: Path
) -> None:
    fake.put_pause_s = 0.05
    begun = threading.Event()

    async def work(hub: AsyncHub) -> None:
        sending = asyncio.Event()

        def report(update: Progress) -> None:
            if update.stage == "send":
                sending.set()

        task = asyncio.create_task(hub.push(lora, "ada/noir", on_progress=report))
        await sending.wait()
        begun.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)
    assert begun.is_set()
    assert "ada/noir" not in fake.versions
    fake.put_pause_s = 0.0
    assert run(lambda hub: hub.push(lora, "ada/noir")).version.name == "v1"


def test_what_the_function_for_progress_raises_reaches_the_caller(
    fake: FakeHub, weights: bytes, home: Path
) -> None:
    fake.publish("studio/noir", {"noir.safetensors": weights})
    fake.slow_s = 0.02

    def report(_update: Progress) -> None:
        msg = "The window was closed."
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match=r"The window was closed\."):
        run(lambda hub: hub.pull("studio/noir", on_progress=report))
    assert len(parts(home)) == 1


def test_errors_are_those_of_hub() -> None:
    with pytest.raises(lorary.NotFound):
        run(lambda hub: hub.version("studio/none"))


def test_lists_are_asynchronous_iterators_that_may_be_left(
    fake: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    names = [f"studio/noir{number}" for number in range(5)]
    for number, name in enumerate(names):
        fake.publish(name, {"noir.safetensors": weights[number:100_000]})

    async def work(hub: AsyncHub) -> tuple[list[str], list[str]]:
        found = [one.full_name async for one in hub.search()]
        stream = hub.pull_all(names, to=tmp_path / "loras", jobs=2)
        first = []
        async for outcome in stream:
            first.append(outcome.reference)
            break
        await stream.aclose()
        return found, first

    found, first = run(work)
    assert found == names
    assert first == names[:1]
    pulled = {sha(path.read_bytes()) for path in (tmp_path / "loras").glob("*.safetensors")}
    assert sha(weights[:100_000]) in pulled


def test_a_cancelled_wait_for_several_pulls_stops_all_of_them(
    fake: FakeHub, weights: bytes, home: Path
) -> None:
    names = ["studio/a", "studio/b", "studio/c"]
    for number, name in enumerate(names):
        fake.publish(name, {"noir.safetensors": weights[number:]})
    fake.slow_s = 0.05

    async def work(hub: AsyncHub) -> None:
        begun = asyncio.Event()

        async def pull() -> None:
            async for _ in hub.pull_all(names, on_progress=lambda _update: begun.set()):
                pytest.fail("none is finished")

        task = asyncio.create_task(pull())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)
    assert all(part.stat().st_size < len(weights) - 3 for part in parts(home))
    assert len(parts(home)) == 3


def test_closing_ends_calls_that_wait_for_a_response(fake: FakeHub) -> None:
    release = threading.Event()

    def stall() -> None:
        release.wait(20)

    fake.on_answer = stall
    fake.answers.append(("adapters/studio/noir", 200, {}, b"{}"))

    async def main() -> None:
        async with AsyncHub() as hub:
            task = asyncio.create_task(hub.version("studio/noir"))
            while not fake.requests("noir"):
                await asyncio.sleep(0.01)
        with pytest.raises((asyncio.CancelledError, lorary.Unreachable)):
            await task

    try:
        asyncio.run(main())
        assert not release.is_set()
    finally:
        release.set()
    assert [one.name for one in threading.enumerate() if one.name.startswith("lorary")] == []
