"""Changes to a header: of its values, its text and its bytes."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from tools.fuzz.seeds import DTYPES, KEYS, SIZES, WORDS, header, metadata, shape, value

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udc00", b"\\u0061",
    b"null", b"true", b"NaN", b"-Infinity", b"-0", b"0.0", b"1e5", b"01", b"1" * 25, b"9" * 400,
    b"\x00", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xe2\x80\xae", b" ", b"\t", b"\n", b"/**/", b"'",
    b'"__metadata__":{}', b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}', b'"dtype":"F32"',
    b'"shape":[1]', b'"data_offsets":[0,4]', b'"\\u005f_metadata__":{}', b"[[[[[[", b'{"a":{"b":{',
)  # fmt: skip
MAGIC = (
    b"PK\x03\x04", b"\x80\x02", b"GGUF", b"\x89HDF\r\n\x1a\n", b"<html>", b'{"error":', b"\x1f\x8b",
    b"version https://git-lfs", b"\x89PNG", b"RIFF", b"\x08\x08\x12\x07pytorch", b"\x00" * 16,
)  # fmt: skip
NAMES = (
    "", "..", "/etc/passwd", "C:\\x", "a" * 513, "\x00", "\u202e", "é", "\U0001f600", "a\nb",
    "~/x", "__metadata__", ".", "." * 60, "_" * 60, "lora_unet_", ".lora_down.weight",
    "a" * 300 + ".alpha",
)  # fmt: skip

#: Texts that make careless patterns and parsers slow when they are repeated.
UNITS = (
    "@", "a@", "a.b@c.", "/", "/a", "\\", "C:\\", "\\\\a", "..", "~/a", "[", '{"a":', "a,", "a, b ",
    " ", "\n", "\t ", "<", "<a ", "&", "(", "(a)", "_", "a_", "-", "0-", "1,", "1e1", "0", "hf_",
    "sk-a", "a=", "token=", "Bearer ", "ss_", "\u202e", "é", "\U0001f600", '"', "'", ";",
    "|", "![", "x",
)  # fmt: skip


def mutated(random: Random) -> bytes:
    """The bytes of a file's beginning: a header with up to four changes."""
    made = header(random)
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        random.choice(_VALUE_CHANGES)(random, made)
    raw = _text(random, made)
    if random.random() < 0.35:
        for _ in range(random.choice((1, 1, 2, 4))):
            raw = random.choice(_BYTE_CHANGES)(random, raw)
    return frame(random, raw)


def frame(random: Random, raw: bytes) -> bytes:
    """Put the length before a header, rightly most of the time."""
    if random.random() < 0.8:
        raw += b" " * (-len(raw) % 8)
    length = len(raw)
    if random.random() < 0.03:
        length = random.choice((0, 1, length + 1, length - 1, length * 2, 10**8, 10**8 + 1, 2**63))
    data = struct.pack("<Q", max(0, length)) + raw
    chance = random.random()
    if chance < 0.01:
        return random.choice(MAGIC) + data
    if chance < 0.02:
        return data[: random.randrange(len(data) + 1)]
    return data


def bulk(random: Random) -> bytes:
    """A large header: one piece over and over, very many tensors or one endless text."""
    size = random.choice((20_000, 100_000, 400_000, 600_000, 1_500_000))
    kind = random.random()
    if kind < 0.4:
        made = header(random)
        made["__metadata__"] = {
            random.choice(KEYS): random.choice(UNITS) * (random.choice((2_000, 20_000, size)) // 3)
            for _ in range(random.choice((1, 1, 3)))
        }
        return frame(random, _text(random, made))
    if kind < 0.6:
        made = {f"{random.choice(NAMES[7:])}{n}": ("U8", [1]) for n in range(size // 60)}
        entries = (
            f'{json.dumps(name)}:{{"dtype":"U8","shape":[1],"data_offsets":[{n},{n + 1}]}}'
            for n, name in enumerate(made)
        )
        return frame(random, b"{" + ",".join(entries).encode() + b"}")
    unit = random.choice((*TOKENS, b"[],", b"{},", b'{"":0},', b'"",', b"0.5,", b'"a":"",'))
    begin = random.choice((b"{", b'{"a":[', b'{"a":"', b'{"__metadata__":{"a":"', b'{"a":'))
    end = random.choice((b"}", b"]}", b'"}', b'"}}', b""))
    return frame(random, begin + unit * (size // len(unit)) + end)


def _text(random: Random, made: dict[str, Any]) -> bytes:
    separators = random.choice(((",", ":"), (", ", ": "), (" ,\n", "\t:")))
    return json.dumps(made, ensure_ascii=random.random() < 0.5, separators=separators).encode(
        "utf-8", "surrogatepass"
    )


def _tensor(random: Random, made: dict[str, Any]) -> tuple[str, Any]:
    names = [name for name in made if name != "__metadata__"]
    name = random.choice(names) if names else "a"
    return name, made.setdefault(name, {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]})


def _rename(random: Random, made: dict[str, Any]) -> None:
    name, entry = _tensor(random, made)
    del made[name]
    made[random.choice(NAMES) + random.choice(("", name))] = entry


def _reshape(random: Random, made: dict[str, Any]) -> None:
    _, entry = _tensor(random, made)
    if isinstance(entry, dict):
        entry["shape"] = random.choice((shape(random), [random.choice(SIZES)] * 9, value(random)))


def _retype(random: Random, made: dict[str, Any]) -> None:
    _, entry = _tensor(random, made)
    if isinstance(entry, dict):
        entry["dtype"] = random.choice((*DTYPES, "f32", "", "F4x", None, 16))


def _move(random: Random, made: dict[str, Any]) -> None:
    _, entry = _tensor(random, made)
    if isinstance(entry, dict):
        places = [random.choice((*SIZES, -1, 4.0, True, "0")) for _ in range(2)]
        entry["data_offsets"] = random.choice((places, [0, *places], [], None, {"begin": 0}))


def _refield(random: Random, made: dict[str, Any]) -> None:
    _, entry = _tensor(random, made)
    if isinstance(entry, dict):
        if random.random() < 0.5:
            entry.pop(random.choice(("dtype", "shape", "data_offsets")), None)
        entry[random.choice(("extra", "dtype ", "Shape"))] = value(random)


def _replace(random: Random, made: dict[str, Any]) -> None:
    name, _ = _tensor(random, made)
    made[name] = value(random)


def _shuffle(random: Random, made: dict[str, Any]) -> None:
    names = list(made)
    random.shuffle(names)
    for name in names:
        made[name] = made.pop(name)


def _describe(random: Random, made: dict[str, Any]) -> None:
    made["__metadata__"] = random.choice(
        (metadata(random), value(random), {"k": value(random)}, {random.choice(WORDS): "x" * 9_000})
    )


_VALUE_CHANGES: tuple[Callable[[Random, dict[str, Any]], None], ...] = (
    _rename,
    _reshape,
    _retype,
    _move,
    _refield,
    _replace,
    _shuffle,
    _describe,
    _describe,
)


def _flip(random: Random, raw: bytes) -> bytes:
    if not raw:
        return raw
    changed = bytearray(raw)
    changed[random.randrange(len(raw))] = random.randrange(256)
    return bytes(changed)


def _insert(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + random.choice(TOKENS) + raw[at:]


def _cut(random: Random, raw: bytes) -> bytes:
    begin = random.randrange(len(raw) + 1)
    return raw[:begin] + raw[begin + random.choice((1, 2, 5, 20, 100)) :]


def _double(random: Random, raw: bytes) -> bytes:
    begin = random.randrange(len(raw) + 1)
    end = begin + random.choice((1, 5, 20, 60, 200))
    return raw[:end] + random.choice((b"", b",")) + raw[begin:]


def _splice(random: Random, raw: bytes) -> bytes:
    other = _text(random, header(random))
    return raw[: random.randrange(len(raw) + 1)] + other[random.randrange(len(other)) :]


def _member(random: Random, raw: bytes) -> bytes:
    """Add a whole member, which is often a repeated one."""
    return b"{" + random.choice(TOKENS[-7:-2]) + b"," + raw[1:]


def _pad(random: Random, raw: bytes) -> bytes:
    return raw + random.choice((b"\n", b"\t", b"\x00", b"{}", b"  ", b"x"))


_BYTE_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _insert,
    _insert,
    _cut,
    _double,
    _splice,
    _member,
    _pad,
)
