"""The common form of claims, cleaned and within limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lorary.anatomy.claims.metadata import public_name, public_text

MAX_PROMPT, MAX_NAME = 4000, 120
MAX_RESOURCES = 32
#: Maximum number of hashes of a resource; each is looked up in the database.
MAX_HASHES = 8

#: Maximum number of hashes that are kept of a resource, before they are checked.
_MAX_CLAIMED = 64
#: Maximum strength; tools allow far less.
MAX_STRENGTH = 100

#: Kinds of adapters, by which tools name them.
LORA_KINDS = frozenset({"lora", "locon", "loha", "lokr", "lyco", "lycoris", "dora"})
#: Endings of files with weights.
WEIGHT_ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")

_HASH = re.compile(
    r"(?:(sha256|blake3|autov[123]|crc32|data_sha256)(?:_single)?:)?(?:0x)?([0-9a-f]{8,64})\Z",
    re.IGNORECASE,
)
#: Prefixes of digests by other algorithms.
_OTHER_DIGESTS = frozenset({"blake3", "crc32", "autov1"})
#: Minimum number of digits of a prefix of a digest, and those of a whole one.
MIN_DIGITS, _WHOLE = 10, 64
#: Hexadecimal digits → kind of a hash without a prefix.
_KIND_OF = {8: "autov1", 10: "autov2", 12: "autov3", 64: "sha256"}
_KIND = re.compile(r"[a-z]{1,24}\Z")


@dataclass(slots=True)
class Resource:
    """A file that was used; ``hashes`` are digests, or prefixes of digests."""

    name: str
    kind: str = "lora"
    strength: object = None
    hashes: tuple[object, ...] = ()

    @property
    def group(self) -> str:
        """Its kind, with one name for all kinds of adapters."""
        kind = str(self.kind).casefold()
        return "lora" if kind in LORA_KINDS else kind

    @property
    def key(self) -> str:
        """Its name in a form that is equal for the same file: in lower case, without ending."""
        name = self.name if isinstance(self.name, str) else ""
        return without_ending(name.strip().replace("\\", "/").casefold())

    def digits(self) -> list[str]:
        """Return digests, or prefixes of them, of the file or the data after its header."""
        found = [_HASH.match(text.strip()) for text in self.hashes if isinstance(text, str)]
        return [
            match[2].casefold()
            for match in found
            if match and len(match[2]) >= MIN_DIGITS and _prefix(match) not in _OTHER_DIGESTS
        ]

    def hashes_by_kind(self) -> dict[str, str]:
        """Return kind → hash; the kind is named by a prefix, or known by the number of digits."""
        found: dict[str, str] = {}
        for text in self.hashes:
            match = _HASH.match(text.strip()) if isinstance(text, str) else None
            if match:
                kind = _KIND_OF.get(len(match[2]), "")
                if kind and (len(match[2]) == _WHOLE or _prefix(match) == "crc32"):
                    kind = _prefix(match) or kind
                found.setdefault(kind, match[2].casefold())
        found.pop("", None)
        return found

    def strength_or_none(self) -> float | None:
        """Return its strength, if it is a possible one."""
        return _number(self.strength, MAX_STRENGTH)

    def add(self, other: Resource) -> None:
        """Add what is known about the same file from another place."""
        self.name = self.name or other.name
        new = [text for text in other.hashes if text not in self.hashes]
        self.hashes = (*self.hashes, *new)[:_MAX_CLAIMED]
        if self.strength_or_none() is None:
            self.strength = other.strength

    def to_dict(self) -> dict[str, Any]:
        """Return the valid values; empty without a name and hashes."""
        name = public_name(self.name, MAX_NAME) if isinstance(self.name, str) else ""
        hashes = sorted(set(self.digits()))[:MAX_HASHES]
        if not name and not hashes:
            return {}
        kind = str(self.kind).casefold()
        result = {"name": name, "kind": kind if _KIND.match(kind) else "other"}
        strength = self.strength_or_none()
        return result | ({} if strength is None else {"strength": strength}) | {"hashes": hashes}


def _prefix(match: re.Match[str]) -> str:
    return (match[1] or "").casefold()


def without_ending(name: str) -> str:
    """Return the name of a file without the ending of weights, in any case."""
    lower = name.lower()
    ending = next((one for one in WEIGHT_ENDINGS if lower.endswith(one)), "")
    return name[: len(name) - len(ending)]


def file_stem(path: str) -> str:
    """Return the name of a file without folders and the ending of weights, to compare names."""
    return without_ending(path.replace("\\", "/").rpartition("/")[2]).casefold()


@dataclass(slots=True)
class Facts:
    """What a tool wrote; values can have any type, and ``to_dict`` checks them."""

    tool: str
    prompt: object = ""
    negative: object = ""
    seed: object = None
    steps: object = None
    sampler: object = ""
    guidance: object = None
    width: object = None
    height: object = None
    model: object = ""
    resources: list[Resource] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the valid values, without empty ones."""
        width, height = _whole(self.width, 100_000), _whole(self.height, 100_000)
        values = {
            "tool": self.tool,
            "prompt": _text(self.prompt, MAX_PROMPT),
            "negative": _text(self.negative, MAX_PROMPT),
            "seed": _whole(self.seed, 2**64 - 1),
            "steps": _whole(self.steps, 100_000),
            "sampler": _text(self.sampler, MAX_NAME),
            "guidance": _number(self.guidance, 1000),
            "size": f"{width}x{height}" if width and height else "",
            "model": public_name(self.model, MAX_NAME) if isinstance(self.model, str) else "",
            "resources": _resources(self.resources),
        }
        return {name: value for name, value in values.items() if value not in (None, "", [])}


def _text(value: object, most: int) -> str:
    return public_text(value, most) if isinstance(value, str) else ""


def _number(value: object, most: float) -> float | None:
    """Return a finite number up to ``most`` with three decimals, otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return round(number, 3) if math.isfinite(number) and abs(number) <= most else None


def _whole(value: object, most: int) -> int | None:
    """Return an integer from 0 to ``most``, otherwise None."""
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) <= 24:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= most else None


def _resources(found: Iterable[Resource]) -> list[dict[str, Any]]:
    """Return valid resources, at most ``MAX_RESOURCES``."""
    rows = filter(None, (resource.to_dict() for resource in merged(found)))
    return list(islice(rows, MAX_RESOURCES))


def merged(found: Iterable[Resource]) -> list[Resource]:
    """Return resources, those of the same file as one.

    Two are the same file if they have the same name, in any case and with or without the ending;
    or the same hash; or if one of them has no folder, the names agree otherwise, and no other file
    has this name.
    """
    rows: list[Resource] = []
    exact: dict[tuple[str, str], Resource] = {}
    by_stem: dict[tuple[str, str], list[Resource]] = {}
    by_hash: dict[tuple[str, str], Resource] = {}
    for one in found:
        key = one.group, one.key
        stem = one.group, one.key.rpartition("/")[2]
        hashes = [(one.group, text) for text in one.digits()]
        before = exact.get(key) if one.key else None
        before = before or next((by_hash[text] for text in hashes if text in by_hash), None)
        before = before or (_namesake(one, by_stem.get(stem, [])) if one.key else None)
        if before is None:
            before = one
            rows.append(one)
            by_stem.setdefault(stem, []).append(one)
        elif before is not one:
            before.add(one)
        exact.setdefault(key, before)
        by_hash.update(dict.fromkeys(hashes, before))
    return rows


def _namesake(one: Resource, others: Sequence[Resource]) -> Resource | None:
    """Return the only other resource of this name, if a folder is all that differs."""
    if len(others) != 1 or ("/" in one.key and "/" in others[0].key):
        return None
    return others[0]
