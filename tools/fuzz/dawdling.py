"""Ways to be a slow client: what is sent, and the pauses between.

A step is bytes to send, or a number of seconds in which nothing is sent. ``READ`` takes some of an
answer, ``END`` says that no more is sent, ``RESET`` breaks the connection off.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from enum import Enum, auto
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from random import Random


class _Act(Enum):
    READ = auto()
    END = auto()
    RESET = auto()


READ, END, RESET = _Act.READ, _Act.END, _Act.RESET
Step: TypeAlias = "bytes | float | _Act"

#: Seconds after which a client gives up by itself.
LONGEST_S = 40.0
PAGE = b"GET /browse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LONG = b"GET /api/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_TARGETS = (b"/api/v1/inspect?size=100000", b"/signin", b"/api/v1/uploads", b"/nowhere")


def _head(random: Random, *fields: bytes) -> bytes:
    target = random.choice(_TARGETS)
    return b"\r\n".join([b"POST %s HTTP/1.1" % target, b"Host: 127.0.0.1", *fields, b"", b""])


def _length(random: Random) -> bytes:
    return _head(random, b"Content-Length: %d" % random.choice((1_000, 50_000, 2_000_000)))


def _trickle(data: bytes, pause_s: float) -> Iterator[Step]:
    for byte in data:
        yield bytes([byte])
        yield pause_s


def _beats(size: int, pause_s: float) -> Iterator[Step]:
    """Send as many bytes again and again."""
    for piece in repeat(b" " * size):
        yield piece
        yield pause_s


def _nothing(_random: Random) -> Iterable[Step]:
    return [LONGEST_S]


def _part_of_a_head(random: Random) -> Iterable[Step]:
    return [PAGE[: random.randrange(1, len(PAGE))], LONGEST_S]


def _head_by_bytes(random: Random) -> Iterable[Step]:
    return _trickle(_length(random), random.choice((0.01, 0.1, 1.0)))


def _long_head(random: Random) -> Iterable[Step]:
    return [PAGE[:-2], *_beats_of(b"X-%d: y\r\n" % random.randrange(9), 20_000)]


def _beats_of(field: bytes, count: int) -> Iterable[Step]:
    return [field * 100 if n % 2 else 0.001 for n in range(count // 100)]


def _part_of_a_body(random: Random) -> Iterable[Step]:
    return [_length(random), b" " * random.choice((0, 1, 900)), LONGEST_S]


def _body_by_bytes(random: Random) -> Iterable[Step]:
    yield _length(random)
    yield from _beats(1, random.choice((0.05, 0.5, 2.0)))


def _body_about_the_floor(random: Random) -> Iterable[Step]:
    yield _length(random)
    yield from _beats(random.choice((900, 1_100, 2_000)), 1.0)


def _late_trickle(random: Random) -> Iterable[Step]:
    yield _head(random, b"Content-Length: 2000000")
    yield b" " * random.choice((50_000, 500_000))
    yield from _beats(1, 1.0)


def _chunks(random: Random) -> Iterable[Step]:
    yield _head(random, b"Transfer-Encoding: chunked")
    for _n in range(1_000):
        yield random.choice((b"1\r\na\r\n", b"5\r\nab", b"\r\n", b"f"))
        yield random.random()


def _continue(random: Random) -> Iterable[Step]:
    return [_head(random, b"Content-Length: 1000", b"Expect: 100-continue"), READ, LONGEST_S]


def _reader_that_stops(random: Random) -> Iterable[Step]:
    return [LONG * random.choice((1, 20)), READ, LONGEST_S]


def _slow_reader(random: Random) -> Iterable[Step]:
    yield LONG * 20
    for _n in range(100):
        yield READ
        yield random.random()


def _next_head_in_part(random: Random) -> Iterable[Step]:
    return [PAGE + PAGE[: random.randrange(1, len(PAGE))], READ, READ, LONGEST_S]


def _one_side(random: Random) -> Iterable[Step]:
    return [random.choice((PAGE, PAGE[:9], _length(random))), END, READ, random.random() * 5]


def _broken_off(random: Random) -> Iterable[Step]:
    return [random.choice((PAGE, PAGE[:9], _length(random), LONG)), random.random(), RESET]


def _noise(random: Random) -> Iterable[Step]:
    return [random.randbytes(random.choice((1, 300, 70_000))), READ, LONGEST_S]


WAYS: dict[str, Callable[[Random], Iterable[Step]]] = {
    way.__name__.strip("_").replace("_", " "): way
    for way in (
        _nothing, _part_of_a_head, _head_by_bytes, _long_head, _part_of_a_body, _body_by_bytes,
        _body_about_the_floor, _late_trickle, _chunks, _continue, _reader_that_stops, _slow_reader,
        _next_head_in_part, _one_side, _broken_off, _noise,
    )
}  # fmt: skip


async def dawdle(address: str, port: int, name: str, random: Random) -> None:
    """Connect from and to an address and go a way, until it ends or the hub has had enough."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    line.setblocking(False)
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LONGEST_S):
                loop = asyncio.get_running_loop()
                line.bind((address, 0))
                await loop.sock_connect(line, (address, port))
                for step in WAYS[name](random):
                    await _take(line, step)
    finally:
        line.close()


async def _take(line: socket.socket, step: Step) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(step, bytes):
        await loop.sock_sendall(line, step)
    elif isinstance(step, float):
        await _pause(line, step)
    elif step is READ:
        await loop.sock_recv(line, 4_096)
    elif step is END:
        line.shutdown(socket.SHUT_WR)
    else:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError


async def _pause(line: socket.socket, seconds: float) -> None:
    """Wait; a connection that the hub closed meanwhile is left.

    Raises:
        ConnectionAbortedError: it was closed.
    """
    if seconds < LONGEST_S:
        await asyncio.sleep(seconds)
        return
    while await asyncio.get_running_loop().sock_recv(line, 65_536):
        pass
    raise ConnectionAbortedError
