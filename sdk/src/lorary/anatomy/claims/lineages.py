"""Lineages: the checkpoints behind adapters, found by hash or by name.

The built-in table has only verified entries. The environment variable `LORARY_LINEAGES` names a
file that is merged over it; it is JSON of the same shape:

    {"sha256": {"<64 or 10 hex digits>": "Name"},    hash of the base file, or Civitai's AutoV2
     "autov1": {"<8 hex digits>": "Name"},           the old short hash, `ss_sd_model_hash`
     "civitai": {"<version number>": "Name"},        base files named after Civitai's number
     "names": [["<word of a name>", "Name"]],        earlier rows take precedence
     "families": {"Name": "<family or group id>"}}   architecture of a lineage
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lorary.anatomy.tables import read_table

VARIABLE = "LORARY_LINEAGES"
_MOST_BYTES = 16 * 1024 * 1024
_NAME_CHARS = 120
_SHA256 = re.compile(r"[0-9a-f]{64}|[0-9a-f]{10}")
_AUTOV1 = re.compile(r"[0-9a-f]{8}")
_DIGITS = re.compile(r"[0-9]{1,12}")
_EMPTY = "e3b0c442"  # sha256 of no bytes, a placeholder

#: Family → lineages that most others of the family descend from, so that adapters of one often work
#: with the other.
ROOTS: Mapping[str, tuple[str, ...]] = {
    "sd1": ("Stable Diffusion 1.5",),
    "sd2": ("Stable Diffusion 2.1",),
    "sdxl": ("SDXL 1.0", "SDXL base", "SDXL 0.9"),
    "flux1": ("FLUX.1 dev",),
    "qwen_image": ("Qwen-Image",),
    "z_image": ("Z-Image",),
    "anima": ("Anima",),
}


class LineageError(ValueError):
    """Raised if the file of lineages can't be read."""


@dataclass(frozen=True, slots=True)
class Lineages:
    """The merged table. Keys are in lower case.

    Attributes:
        sha256: Full hash to lineage.
        short: First ten digits of a hash to lineage.
        autov1: Old short hash to lineage.
        civitai: Version number to lineage.
        names: Word of a name and its lineage, in order of precedence.
        families: Lineage to its family or group of families.
    """

    sha256: Mapping[str, str]
    short: Mapping[str, str]
    autov1: Mapping[str, str]
    civitai: Mapping[str, str]
    names: tuple[tuple[str, str], ...]
    families: Mapping[str, str]

    def by_hash(self, digest: str) -> str | None:
        """Return the lineage of a SHA-256, an AutoV2 or an old short hash."""
        text = digest.strip().lower().removeprefix("0x")
        if text.startswith(_EMPTY) or not text.strip("0"):
            return None
        if len(text) == 64:
            return self.sha256.get(text)
        return (self.short if len(text) == 10 else self.autov1).get(text)

    def by_name(self, name: str) -> tuple[str, ...]:
        """Return the lineages in a checkpoint's name, without its folder, in the order of the name.

        A mix can name several. Words must stand alone (`ponyMix`, `pony_v6`, but not `ponytail`)
        and must not be negated (`notPony`). If two words overlap, the earlier row counts.
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
            for begin, end in _occurrences(word, text, base):
                if all(end <= start or stop <= begin for start, stop, _ in taken):
                    taken.append((begin, end, lineage))
        found = dict.fromkeys(lineage for *_, lineage in sorted(taken))
        return tuple(a for a in found if not any(b.startswith(f"{a} ") for b in found))

    def family_of(self, lineage: str | None) -> str | None:
        """Return the family or group of a lineage, or None if the table has none."""
        return None if lineage is None else self.families.get(lineage)


def related_lineages(lineage: str, family: str) -> tuple[str, ...]:
    """Return the names of a lineage: it, and those that are more or less exact.

    `Pony` and `Pony Diffusion V6 XL` are one, and so are all names of the root of a family.
    """
    roots = ROOTS.get(family, ())
    if lineage in roots:
        return roots
    named = [
        one
        for one, of in lineages().families.items()
        if of == family
        and one not in roots
        and (one.startswith(f"{lineage} ") or lineage.startswith(f"{one} "))
    ]
    return tuple(dict.fromkeys([lineage, *named]))


# What may follow a word without a separator: `ponyxl`, `illustriousmix`.
_ENDINGS = re.compile(r"(?:sd)?xl|v[0-9]|mix|merge|diffusion")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NEGATION = re.compile(r"(?:^|[^a-z])(?:no|not|non|without|anti)[ _.-]{0,16}$")
_BEFORE = 12  # characters, for a negation


def _occurrences(word: str, text: str, written: str) -> Iterator[tuple[int, int]]:
    """Yield where a word stands alone in a text; `written` is the text with capitals."""
    begin = text.find(word)
    while begin >= 0:
        end = begin + len(word)
        if _can_begin(text, written, begin) and _can_end(text, written, end):
            before = _HUMP.sub(" ", written[max(0, begin - _BEFORE) : begin + 1])[:-1]
            if _NEGATION.search(before.lower()) is None:
                yield begin, end
        begin = text.find(word, begin + 1)


def _can_begin(text: str, written: str, at: int) -> bool:
    """Return whether a word can begin here: not between two letters or two digits."""
    if at == 0:
        return True
    before, first = text[at - 1], text[at]
    if first.isdigit():
        return not before.isdigit()
    return not (first.isalpha() and before.isalpha()) or _HUMP.match(written, at) is not None


def _can_end(text: str, written: str, at: int) -> bool:
    if at == len(text):
        return True
    last, after = text[at - 1], text[at]
    if last.isdigit():
        return not after.isdigit()
    is_inside = last.isalpha() and after.isalpha()
    return not is_inside or any(form.match(*place) for form, place in (
        (_HUMP, (written, at)), (_ENDINGS, (text, at)),
    ))  # fmt: skip


def load_lineages(path: str | os.PathLike[str] | None = None) -> Lineages:
    """Return the built-in table with a custom file merged over it.

    Args:
        path: The custom file; by default the one that `LORARY_LINEAGES` names, if any.

    Raises:
        LineageError: The custom file can't be read or has the wrong shape.
    """
    custom = path if path is not None else os.environ.get(VARIABLE, "").strip() or None
    tables = [_validated(read_table("claims/lineages.json"))]
    if custom is not None:
        tables.append(_read_custom(Path(custom).expanduser()))
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
    """Return the table of this process. An invalid custom file is ignored.

    Programs call `load_lineages` when they start, to report an invalid file.
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


def _read_custom(path: Path) -> dict[str, dict[str, str]]:
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
        return _validated(json.loads(raw or b"{}"))
    except LineageError as error:
        message = f"{path}: {error}"
        raise LineageError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{path} is not valid JSON: {error}"
        raise LineageError(message) from error


def _validated(raw: object) -> dict[str, dict[str, str]]:
    """Return the table with its shape checked; rows of `names` become a mapping."""
    if not isinstance(raw, dict):
        raise LineageError(_NOT_AN_OBJECT.format("the top"))
    unknown = sorted(set(raw) - {*_MAPPINGS, "names"})
    if unknown:
        message = f"{unknown[0]!r} is not one of {', '.join((*_MAPPINGS, 'names'))}"
        raise LineageError(message)
    found = {key: _mapping(key, raw.get(key, {}), form) for key, form in _MAPPINGS.items()}
    rows = raw.get("names", [])
    if not isinstance(rows, list):
        message = "names is not a list"
        raise LineageError(message)
    found["names"] = {}
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and all(map(_is_name, row))):
            message = f"names contains {str(row)[:80]}, which is not a pair of strings"
            raise LineageError(message)
        found["names"].setdefault(row[0].lower(), row[1])
    return found


_NOT_AN_OBJECT = "{} is not an object"


def _mapping(key: str, raw: object, form: re.Pattern[str]) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise LineageError(_NOT_AN_OBJECT.format(key))
    found = {}
    for name, value in raw.items():
        entry = name if key == "families" else name.lower().removeprefix("0x")
        if not form.fullmatch(entry) or not _is_name(value):
            message = f"{key} contains {name[:80]!r}: {str(value)[:80]!r}, which is invalid"
            raise LineageError(message)
        found[entry] = value
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _NAME_CHARS
