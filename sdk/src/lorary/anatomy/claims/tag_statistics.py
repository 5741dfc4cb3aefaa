"""Caption statistics: the share of the training images that have a tag.

    ss_tag_frequency   {"6_trina": {"trina": 26, " black hair": 20}, …}    counts of images
    ss_dataset_dirs    {"6_trina": {"n_repeats": 6, "img_count": 26}, …}

sd-scripts splits captions at commas and counts the pieces per directory. If captions are sentences,
the "tags" are pieces of sentences and show nothing. Early versions kept the space after the comma.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from lorary.anatomy.claims.datasets import entries
from lorary.anatomy.claims.metadata import base_name, clean, number, parsed_json, raw_text
from lorary.anatomy.tables import read_table

_MOST_DIRECTORIES = 1_000
_MOST_TAGS_READ = 100_000
_TAG_CHARS = 80
_TAG_WORDS = 6  # pieces of sentences are longer
_MOST_SENTENCES = 0.5
_PRINTABLE = bytes(range(0x20, 0x7F))
_NO_SPACES = bytes(set(range(256)) - set(b" \n"))
_WORD = re.compile(r"\S+")


@cache
def stop_words() -> Mapping[str, frozenset[str]]:
    """Return words that name nothing (`stop_words.json`).

    `tags` describe many images (with underscores for spaces); `directories` only say that a folder
    has images.
    """
    table = read_table("claims/stop_words.json")
    return {name: frozenset(words) for name, words in table.items()}


_TRAITS = re.compile(
    r"(?:[a-z0-9'-]{1,40}_){1,4}(?:hair|eyes?|eyelashes|eyebrows?|pupils|bangs|skin|lips|lipstick|beard"
    r"|breasts|ears?|tail|wings|horns|ornament|hairband|ribbon|bow|hat|cap|headwear|hood|mask"
    r"|glasses|earrings|necklace|choker|collar|shirt|blouse|sweater|hoodie|jacket|coat|vest|dress"
    r"|skirt|shorts|pants|jeans|sleeves|gloves|socks|thighhighs|pantyhose|legwear|footwear|shoes"
    r"|boots|bikini|swimsuit|underwear|panties|bra|bodysuit|leotard|kimono|uniform|armor|cape"
    r"|cloak|necktie|belt|nails|background|sky|view|profile|shot|angle|lighting|quality)"
)
"""An adjective and its noun: what a person has or wears, not a name."""


def is_generic(tag: str) -> bool:
    """Return whether a tag could describe images of anybody."""
    text = tag.strip().lower().replace(" ", "_")
    return text in stop_words()["tags"] or _TRAITS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CommonTag:
    """A caption tag with its share of the training images, in `(0, 1]`."""

    text: str
    share: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"text": self.text, "share": self.share}


@dataclass(frozen=True, slots=True)
class TagShares:
    """Caption statistics over all training directories.

    Attributes:
        is_counted: The number of images is known, not estimated as the count of the most frequent
            tag of each directory.
        only_tag: The only tag of the only directory: ai-toolkit stores a trigger like this.
        counted: Every counted piece of a caption, with its count.
    """

    shares: Mapping[str, float]  # tag to share, most frequent first, without pieces of sentences
    is_counted: bool = False
    are_sentences: bool = False  # most captions are sentences
    pictures: int = 0  # number of images, as far as known
    only_tag: str | None = None
    only_count: int = 0
    directories: tuple[tuple[str, str], ...] = ()  # directory names, each with its metadata key
    counted: Mapping[str, int] = field(default_factory=dict)


def tag_shares(metadata: Mapping[str, str]) -> TagShares:
    """Return caption statistics over all directories, weighted by their number of images."""
    listed = parsed_json(metadata, "ss_dataset_dirs")
    names = [(name, "ss_dataset_dirs") for name in _keys(listed)]
    frequency = _frequency(metadata)
    images, regularisation = _subsets(metadata) if frequency else ({}, set())
    for name in regularisation.difference(_keys(listed)):
        frequency.pop(name, None)
    names += [(name, "ss_tag_frequency") for name in frequency]
    counts = {name: _tag_counts(tags) for name, tags in frequency.items()}
    totals: Counter[str] = Counter()
    pictures, is_counted = 0, bool(counts)
    for name, tags in counts.items():
        totals.update(tags)
        known = _images(listed, name) or images.get(name)
        is_counted = is_counted and known is not None
        pictures += known or max(tags.values(), default=0)
    tagged = dict(totals.most_common())
    if not _are_short(tagged):
        tagged = {tag: count for tag, count in tagged.items() if _is_short(tag)}
    lone = len(frequency) == 1 and len(totals) == 1
    only = next(iter(totals)) if lone else None
    return TagShares(
        _shares(tagged, pictures) if pictures else {},
        is_counted=is_counted,
        are_sentences=len(totals) - len(tagged) > _MOST_SENTENCES * len(totals),
        pictures=pictures,
        only_tag=only,
        only_count=totals[only] if only is not None else 0,
        directories=tuple(names),
        counted=totals,
    )


def _shares(counts: Mapping[str, int], pictures: int) -> dict[str, float]:
    # Thousands of tags have only a few different counts.
    share = {count: min(1.0, round(count / pictures, 4)) for count in set(counts.values())}
    return dict(zip(counts, map(share.__getitem__, counts.values()), strict=True))


def _keys(value: object) -> list[str]:
    return list(value)[:_MOST_DIRECTORIES] if isinstance(value, dict) else []


def _frequency(metadata: Mapping[str, str]) -> dict[str, Mapping[str, object]]:
    """Return directory to tags, from `ss_tag_frequency` or else from the datasets."""
    found = parsed_json(metadata, "ss_tag_frequency")
    if isinstance(found, dict) and found:
        return dict(_directories(found))
    merged: dict[str, Mapping[str, object]] = {}
    if "tag_frequency" in raw_text(metadata, "ss_datasets"):
        for dataset in entries(parsed_json(metadata, "ss_datasets")):
            merged.update(_directories(dataset.get("tag_frequency")))
    return merged


def _directories(value: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name in _keys(value):
        tags = value[name] if isinstance(value, dict) else None
        if isinstance(tags, dict):
            yield name, tags


def _tag_counts(tags: Mapping[str, object]) -> Counter[str]:
    """Return tag to count; counts may be strings."""
    if _are_plain(tags):
        return Counter(cast("Mapping[str, int]", tags))
    counts: Counter[str] = Counter()
    for tag, count in list(tags.items())[:_MOST_TAGS_READ]:
        often = number(count)
        if often is not None and 1 <= often <= 2**53:
            text = clean(tag, _TAG_CHARS)
            if text:
                counts[text] += int(often)
    return counts


def _are_plain(tags: Mapping[str, object]) -> bool:
    """Return whether no tag needs cleaning. Joining all tags makes this fast."""
    if not tags or len(tags) > _MOST_TAGS_READ or set(map(type, tags.values())) != {int}:
        return False
    numbers: list[Any] = list(tags.values())
    text = "\n".join(tags)
    ended = f"\n{text}\n"
    return (
        text.isascii()
        and text.encode().translate(None, _PRINTABLE) == b"\n" * (len(tags) - 1)
        and not any(mark in ended for mark in ("\n\n", "\n ", " \n", "  "))
        and max(map(len, tags)) <= _TAG_CHARS
        and min(numbers) >= 1
        and max(numbers) <= 2**53
    )


def _images(directories: object, name: str) -> int | None:
    """Return the number of images in a directory, or None if unknown."""
    facts = directories.get(name) if isinstance(directories, dict) else None
    return _picture_count(facts) if isinstance(facts, dict) else None


def _picture_count(facts: Mapping[str, object]) -> int | None:
    count = number(facts.get("img_count"))
    return int(count) if count is not None and 1 <= count <= 2**53 else None


def _subsets(metadata: Mapping[str, str]) -> tuple[dict[str, int], set[str]]:
    """Return images by folder or caption file, and folders of regularisation images.

    Several datasets may use one folder, for example at several sizes. sd-scripts also counts the
    tags of regularisation images, which don't show the subject.
    """
    images: dict[str, int] = {}
    regularisation = set(_keys(parsed_json(metadata, "ss_reg_dataset_dirs")))
    datasets = entries(parsed_json(metadata, "ss_datasets"))
    for subset in (entry for dataset in datasets for entry in entries(dataset.get("subsets"))):
        count = _picture_count(subset)
        for key in ("image_dir", "metadata_file"):
            name = subset.get(key)
            if isinstance(name, str) and subset.get("is_reg") is True:
                regularisation.add(base_name(name))
            elif isinstance(name, str) and count is not None:
                images[base_name(name)] = count
    return images, regularisation


def _are_short(tags: Collection[str]) -> bool:
    """Return whether all tags plainly have few words."""
    text = "\n".join(tags)
    # Keep only the spaces of each tag.
    return text.isascii() and b" " * _TAG_WORDS not in text.encode().translate(None, _NO_SPACES)


def _is_short(tag: str) -> bool:
    if tag.isascii() and tag.count(" ") < _TAG_WORDS:  # mostly
        return True
    return len(_WORD.findall(tag)) <= _TAG_WORDS and not tag.endswith("…")
