"""Lineages: the checkpoint behind an adapter, told by its hash or its name.

The table that ships holds what is verified. A file named by the environment variable
`LORARY_LINEAGES` is laid over it; it is JSON of the same shape:

    {"sha256": {"<64 or 10 hex digits>": "Name"},    hash of the base file, or Civitai's AutoV2
     "autov1": {"<8 hex digits>": "Name"},           the old short hash, `ss_sd_model_hash`
     "civitai": {"<version number>": "Name"},        base files named after Civitai's number
     "names": [["<word of a name>", "Name"]],        earlier rows count first
     "families": {"Name": "<family or group id>"}}   architecture of a lineage
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["VARIABLE", "LineageError", "Lineages", "lineages", "load_lineages"]

VARIABLE = "LORARY_LINEAGES"
_MOST_BYTES = 16 * 1024 * 1024
_NAME_CHARS = 120
_SHA256 = re.compile(r"[0-9a-f]{64}|[0-9a-f]{10}")
_AUTOV1 = re.compile(r"[0-9a-f]{8}")
_DIGITS = re.compile(r"[0-9]{1,12}")
_OF_NOTHING = "e3b0c442"  # sha256 of no bytes: a placeholder, never a checkpoint


class LineageError(ValueError):
    """The file of lineages cannot be read."""


@dataclass(frozen=True, slots=True)
class Lineages:
    """The table, ready for look-up. Keys are lower case.

    Attributes:
        sha256: Full hash to lineage.
        short: First ten digits of a hash to lineage.
        autov1: Old short hash to lineage.
        civitai: Version number to lineage.
        names: Word of a name and its lineage, in the order of trust.
        families: Lineage to its family, or to a group of families.
    """

    sha256: Mapping[str, str]
    short: Mapping[str, str]
    autov1: Mapping[str, str]
    civitai: Mapping[str, str]
    names: tuple[tuple[str, str], ...]
    families: Mapping[str, str]

    def by_hash(self, digest: str) -> str | None:
        """Lineage of a SHA-256, an AutoV2 or an old short hash; placeholders have none."""
        text = digest.strip().lower().removeprefix("0x")
        if text.startswith(_OF_NOTHING) or not text.strip("0"):
            return None
        if len(text) == 64:
            return self.sha256.get(text)
        return (self.short if len(text) == 10 else self.autov1).get(text)

    def by_name(self, name: str) -> tuple[str, ...]:
        """Lineages of a checkpoint's name, without its folder, in the order of the name.

        A mix can name several. A word counts where it stands by itself (`ponyMix`, `pony_v6`, not
        `ponytail`), unless it is negated (`notPony`). Where two words overlap the earlier row
        counts.
        """
        base = re.split(r"[\\/]", name)[-1]
        stem = base.partition(".")[0]
        if stem in self.civitai:
            return (self.civitai[stem],)
        text = base.lower()
        if len(text) != len(base):  # a few letters have a longer lower case
            base = text
        taken: list[tuple[int, int, str]] = []
        for word, lineage in self.names:
            for begin, end in _places(word, text, base):
                if all(end <= start or stop <= begin for start, stop, _ in taken):
                    taken.append((begin, end, lineage))
        found = dict.fromkeys(lineage for *_, lineage in sorted(taken))
        return tuple(one for one in found if not any(_is_closer(other, one) for other in found))

    def family_of(self, lineage: str | None) -> str | None:
        """Family or group of a lineage, as far as the table says."""
        return None if lineage is None else self.families.get(lineage)


# Where a word may end before small letters: `ponyxl`, `illustriousmix`.
_ENDINGS = re.compile(r"(?:sd)?xl|v[0-9]|mix|merge|diffusion")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NEGATION = re.compile(r"(?:^|[^a-z])(?:no|not|non|without|anti)[ _.-]{0,16}$")
_BEFORE = 12  # characters, for a negation


def _places(word: str, text: str, written: str) -> Iterator[tuple[int, int]]:
    """Where a word stands by itself in a text, which is `written` in lower case."""
    begin = text.find(word)
    while begin >= 0:
        end = begin + len(word)
        if _begins(text, written, begin) and _ends(text, written, end):
            before = _HUMP.sub(" ", written[max(0, begin - _BEFORE) : begin + 1])[:-1]
            if _NEGATION.search(before.lower()) is None:
                yield begin, end
        begin = text.find(word, begin + 1)


def _begins(text: str, written: str, at: int) -> bool:
    """Tell whether a word can begin here: no letter before a letter, no digit before a digit."""
    if at == 0:
        return True
    before, first = text[at - 1], text[at]
    if first.isdigit():
        return not before.isdigit()
    return not (first.isalpha() and before.isalpha()) or _HUMP.match(written, at) is not None


def _ends(text: str, written: str, at: int) -> bool:
    if at == len(text):
        return True
    last, after = text[at - 1], text[at]
    if last.isdigit():
        return not after.isdigit()
    is_inside = last.isalpha() and after.isalpha()
    return not is_inside or any(form.match(*place) for form, place in (
        (_HUMP, (written, at)), (_ENDINGS, (text, at)),
    ))  # fmt: skip


def _is_closer(other: str, lineage: str) -> bool:
    """Tell whether another lineage says the same and more: Pony Diffusion V6 XL and Pony."""
    return other.startswith(f"{lineage} ")


def load_lineages(path: str | os.PathLike[str] | None = None) -> Lineages:
    """Read the table that ships, with a file of the owner's laid over it.

    Args:
        path: The owner's file; the one that `LORARY_LINEAGES` names when left out, if any.

    Raises:
        LineageError: The owner's file cannot be read, or is not of that shape.
    """
    own = path if path is not None else os.environ.get(VARIABLE, "").strip() or None
    text = (resources.files("lorary.anatomy.claims") / "lineages.json").read_text("utf-8")
    tables = [_checked(json.loads(text))]
    if own is not None:
        tables.append(_owned(Path(own).expanduser()))
    merged: dict[str, dict[str, str]] = {key: {} for key in _MAPPINGS}
    for table in tables:
        for key, found in merged.items():
            found.update(table[key])
    full = {digest: name for digest, name in merged["sha256"].items() if len(digest) == 64}
    short = {digest[:10]: name for digest, name in full.items()}
    given = {digest: name for digest, name in merged["sha256"].items() if len(digest) == 10}
    rows = [row for table in reversed(tables) for row in table["names"].items()]
    return Lineages(
        full, short | given, merged["autov1"], merged["civitai"], tuple(rows), merged["families"]
    )


@cache
def lineages() -> Lineages:
    """The table of this process; a broken file of the owner's counts as none.

    Programs call `load_lineages` at their start, so that a broken file is told there.
    """
    try:
        return load_lineages()
    except LineageError:
        return load_lineages(os.devnull)


_MAPPINGS: Mapping[str, re.Pattern[str]] = {
    "sha256": _SHA256,
    "autov1": _AUTOV1,
    "civitai": _DIGITS,
    "families": re.compile(r".{1,120}", re.DOTALL),
}


def _owned(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise LineageError(message) from error
    if len(raw) > _MOST_BYTES:
        message = f"{path} is larger than {_MOST_BYTES:,} bytes"
        raise LineageError(message)
    try:
        return _checked(json.loads(raw or b"{}"))
    except LineageError as error:
        message = f"{path}: {error}"
        raise LineageError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{path} is not valid JSON: {error}"
        raise LineageError(message) from error


def _checked(raw: object) -> dict[str, dict[str, str]]:
    """The table with its shape checked; rows of `names` become a mapping in their order."""
    if not isinstance(raw, dict):
        message = "the top is not an object"
        raise LineageError(message)
    unknown = sorted(set(raw) - {*_MAPPINGS, "names"})
    if unknown:
        message = f"{unknown[0]!r} is none of {', '.join((*_MAPPINGS, 'names'))}"
        raise LineageError(message)
    found: dict[str, dict[str, str]] = {}
    for key, form in _MAPPINGS.items():
        found[key] = _mapping(key, raw.get(key, {}), form)
    rows = raw.get("names", [])
    if not isinstance(rows, list):
        message = "names is not a list"
        raise LineageError(message)
    found["names"] = {}
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and all(map(_is_name, row))):
            message = f"names holds {str(row)[:80]}, which is not a pair of texts"
            raise LineageError(message)
        found["names"].setdefault(row[0].lower(), row[1])
    return found


def _mapping(key: str, raw: object, form: re.Pattern[str]) -> dict[str, str]:
    if not isinstance(raw, dict):
        message = f"{key} is not an object"
        raise LineageError(message)
    found = {}
    for name, value in raw.items():
        entry = name if key == "families" else name.lower().removeprefix("0x")
        if not form.fullmatch(entry) or not _is_name(value):
            message = f"{key} holds {name[:80]!r}: {str(value)[:80]!r}, which is not of its kind"
            raise LineageError(message)
        found[entry] = value
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _NAME_CHARS
