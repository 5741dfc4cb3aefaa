"""How a body travels: with its length, in chunks, and in ways that no server can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random

_LENGTH, _TRANSFER = b"Content-Length", b"Transfer-Encoding"


class Frame(NamedTuple):
    """Headers and bytes of a body.

    Attributes:
        is_cut: Whether the sender says that nothing more comes.
        is_sound: Whether any server can read it.
    """

    headers: list[tuple[bytes, bytes]]
    payload: bytes
    is_cut: bool = False
    is_sound: bool = True


def framed(random: Random, body: bytes, *, is_needed: bool, is_plain: bool = False) -> Frame:
    """Return a body as it travels: mostly as it should.

    Args:
        random: Chooses.
        body: May be empty.
        is_needed: Whether the method has one, so that its length is said though it is empty.
        is_plain: Whether it travels as it should in any case.
    """
    if not body and not is_needed:
        return Frame([], b"")
    length = b"%d" % len(body)
    if is_plain or random.random() < 0.6:
        return Frame([(_LENGTH, length)], body)
    return random.choice([
        Frame([(_TRANSFER, b"chunked")], _chunked(random, body)),
        Frame([(_TRANSFER, b"chunked")], _chunked(random, body)),
        Frame([(_TRANSFER, b"chunked")], _broken_chunks(random, body), True, False),
        Frame([(_LENGTH, b"%d" % (len(body) + random.choice((1, 70_000, 2**40))))], body,
              True, False),
        Frame([(_LENGTH, b"%d" % (len(body) // 2))], body, True, False),
        Frame([(_LENGTH, random.choice((b"-1", b"+5", b"0x10", b"1e3", b"", b"\xb2", b"9" * 40)))],
              body, True, False),
        Frame([(_LENGTH, length), (_LENGTH, b"%d" % (len(body) + 1))], body, True, False),
        Frame([(_LENGTH, length), (_TRANSFER, b"chunked")], _chunked(random, body), True, False),
        Frame([(_TRANSFER, random.choice((b"gzip", b"identity", b"chunked, x", b"xchunked")))],
              body, True, False),
        Frame([], body, True, False),
    ])  # fmt: skip


def _chunked(random: Random, body: bytes) -> bytes:
    size = random.choice((1_000, 65_536)) if len(body) > 5_000 else random.choice((1, 7, 5_000))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def _broken_chunks(random: Random, body: bytes) -> bytes:
    whole = _chunked(random, body)
    return random.choice((
        whole[: random.randrange(len(whole))], b"zz\r\n" + whole, b"-5\r\n" + whole,
        b"f" * 40 + b"\r\n" + whole, b"5;x=" + b"y" * 9_000 + b"\r\n" + whole,
        whole[:-2] + b"X-Trailer: \xff\r\n\r\n", whole.replace(b"\r\n", b"\n"),
    ))  # fmt: skip
