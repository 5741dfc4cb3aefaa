"""The common form of claims, cleaned and within limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lorary.anatomy.claims.metadata import public_name, public_text

MAX_PROMPT, MAX_NAME = 4000, 120
MAX_RESOURCES = 32
#: Maximum number of hashes of a resource; each is looked up in the database.
MAX_HASHES = 8

_HASH = re.compile(r"(?:sha256:|0x)?([0-9a-f]{10,64})\Z", re.IGNORECASE)
_KIND = re.compile(r"[a-z]{1,24}\Z")


@dataclass(slots=True)
class Resource:
    """A file that was used; ``hashes`` are digests, or prefixes of digests."""

    name: str
    kind: str = "lora"
    strength: object = None
    hashes: tuple[object, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the valid values; empty without a name and hashes."""
        name = public_name(self.name, MAX_NAME) if isinstance(self.name, str) else ""
        found = [_HASH.match(text.strip()) for text in self.hashes if isinstance(text, str)]
        hashes = sorted({match[1].casefold() for match in found if match})[:MAX_HASHES]
        if not name and not hashes:
            return {}
        kind = str(self.kind).casefold()
        result = {"name": name, "kind": kind if _KIND.match(kind) else "other"}
        strength = _number(self.strength, 100)
        return result | ({} if strength is None else {"strength": strength}) | {"hashes": hashes}


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
    """Return resources; those with the same kind and name are merged."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for one in filter(None, (resource.to_dict() for resource in found)):
        before = known.setdefault((one["kind"], one["name"].casefold()), one)
        if before is not one:
            before["hashes"] = sorted({*before["hashes"], *one["hashes"]})[:MAX_HASHES]
            if "strength" in one:
                before.setdefault("strength", one["strength"])
    return list(known.values())[:MAX_RESOURCES]
