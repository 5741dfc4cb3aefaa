"""A hub for asyncio: the methods of `Hub`, run in threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from lorary.client.aio.calls import Call, Steps, Stopped
from lorary.client.http.retries import Backoff
from lorary.client.hub import Hub
from lorary.client.progress import silent
from lorary.limits import JOBS, MAX_JOBS

if TYPE_CHECKING:
    from lorary.replacing import StrPath

P = ParamSpec("P")
T = TypeVar("T")


class _ThreadHub(Hub):
    """A hub whose calls end when it is closed, also while they wait for a response."""

    def __init__(
        self, endpoint: str | None, token: str | None, home: StrPath | None, timeout_s: float
    ) -> None:
        super().__init__(endpoint, token, home=home, timeout_s=timeout_s)
        self._is_ending = threading.Event()
        self._session.backoff = Backoff(sleep=self._pause)

    def end(self) -> None:
        """Cancel the running requests, and do not repeat them."""
        self._is_ending.set()
        self._session.abort()

    def _pause(self, seconds: float) -> None:
        if self._is_ending.wait(seconds):
            raise Stopped


def _awaited(
    method: Callable[Concatenate[Hub, P], T],
) -> Callable[Concatenate[AsyncHub, P], Coroutine[Any, Any, T]]:
    """Return the coroutine of a method."""
    reports = "on_progress" in inspect.signature(method).parameters

    @wraps(method)
    async def call(self: AsyncHub, /, *arguments: P.args, **options: P.kwargs) -> T:
        one, given = self._call(options, reports=reports)
        return await one.run(partial(method, self._hub, *arguments, **given))

    return call


def _streamed(
    method: Callable[Concatenate[Hub, P], Iterator[T]],
) -> Callable[Concatenate[AsyncHub, P], AsyncGenerator[T, None]]:
    """Return the asynchronous iterator of a method that returns an iterator."""
    reports = "on_progress" in inspect.signature(method).parameters

    @wraps(method)
    async def stream(
        self: AsyncHub, /, *arguments: P.args, **options: P.kwargs
    ) -> AsyncGenerator[T, None]:
        one, given = self._call(options, reports=reports)
        work = partial(method, self._hub, *arguments, **given)
        steps: Steps[T] = Steps(await one.run(work))
        try:
            while (item := await one.run(steps.next)) is not None:
                yield item
        finally:
            one.stop()
            steps.close(self._pool)

    return stream


class AsyncHub:
    """A Lorary hub for asyncio: the methods of `Hub`, with the same arguments, as coroutines.

    Methods of `Hub` that return an iterator (``search``, ``packs``, ``find_all``, ``pull_all``,
    ``uploads``) are asynchronous iterators. The work is done in threads. A cancelled call ends at
    the next buffer of its transfer; what was received stays, and the next call continues there.
    ``on_progress`` is called in the event loop.

    It is an asynchronous context manager. At its end, calls that still run are cancelled, and no
    thread is left.

    Args:
        endpoint: As `Hub` takes it.
        token: As `Hub` takes it.
        home: As `Hub` takes it.
        timeout_s: As `Hub` takes it.
        threads: Number of calls at the same time; others wait.

    Raises:
        SettingInvalid: one of these values is invalid.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        home: StrPath | None = None,
        timeout_s: float = 60.0,
        threads: int = JOBS,
    ) -> None:
        self._hub = _ThreadHub(endpoint, token, home, timeout_s)
        self.endpoint = self._hub.endpoint
        self._pool = ThreadPoolExecutor(max(1, min(threads, MAX_JOBS)), "lorary-async")
        self._calls: WeakSet[Call] = WeakSet()

    async def __aenter__(self) -> AsyncHub:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncHub({self.endpoint!r})"

    async def close(self) -> None:
        """Cancel what is running, wait until its threads have ended, and close connections."""
        for one in list(self._calls):
            one.stop()
        self._hub.end()
        # Not in asyncio's own threads: they stay until the loop ends.
        waiting = ThreadPoolExecutor(1, "lorary-async-end")
        await asyncio.wrap_future(waiting.submit(self._pool.shutdown, cancel_futures=True))
        waiting.shutdown()
        self._hub.close()

    def _call(self, options: dict[str, Any], *, reports: bool) -> tuple[Call, dict[str, Any]]:
        """Return a new call, and the options of its method."""
        one = Call(self._pool, options.get("on_progress") or silent)
        self._calls.add(one)
        return one, {**options, "on_progress": one.report} if reports else options

    add_sample = _awaited(Hub.add_sample)
    alias_history = _awaited(Hub.alias_history)
    aliases = _awaited(Hub.aliases)
    cached = _awaited(Hub.cached)
    cancel_upload = _awaited(Hub.cancel_upload)
    create_pack = _awaited(Hub.create_pack)
    create_token = _awaited(Hub.create_token)
    discard = _awaited(Hub.discard)
    edit = _awaited(Hub.edit)
    edit_pack = _awaited(Hub.edit_pack)
    edit_version = _awaited(Hub.edit_version)
    files = _awaited(Hub.files)
    find = _awaited(Hub.find)
    find_all = _streamed(Hub.find_all)
    info = _awaited(Hub.info)
    inspect = _awaited(Hub.inspect)
    is_cached = _awaited(Hub.is_cached)
    pack = _awaited(Hub.pack)
    pack_version = _awaited(Hub.pack_version)
    packs = _streamed(Hub.packs)
    picture = _awaited(Hub.picture)
    publish_pack = _awaited(Hub.publish_pack)
    pull = _awaited(Hub.pull)
    pull_all = _streamed(Hub.pull_all)
    pull_file = _awaited(Hub.pull_file)
    pull_pack = _awaited(Hub.pull_pack)
    pull_reference = _awaited(Hub.pull_reference)
    push = _awaited(Hub.push)
    read_range = _awaited(Hub.read_range)
    relatives = _awaited(Hub.relatives)
    remove_alias = _awaited(Hub.remove_alias)
    report = _awaited(Hub.report)
    resolve = _awaited(Hub.resolve)
    restore = _awaited(Hub.restore)
    restore_pack = _awaited(Hub.restore_pack)
    revoke_token = _awaited(Hub.revoke_token)
    revoke_tokens = _awaited(Hub.revoke_tokens)
    search = _streamed(Hub.search)
    set_alias = _awaited(Hub.set_alias)
    tokens = _awaited(Hub.tokens)
    try_stack = _awaited(Hub.try_stack)
    uploads = _streamed(Hub.uploads)
    version = _awaited(Hub.version)
    versions = _awaited(Hub.versions)
    whoami = _awaited(Hub.whoami)
    withdraw = _awaited(Hub.withdraw)
    withdraw_adapter = _awaited(Hub.withdraw_adapter)
    withdraw_pack = _awaited(Hub.withdraw_pack)
    withdraw_pack_version = _awaited(Hub.withdraw_pack_version)
    yank = _awaited(Hub.yank)
    yank_pack = _awaited(Hub.yank_pack)
