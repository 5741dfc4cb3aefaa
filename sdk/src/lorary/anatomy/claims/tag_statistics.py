"""Caption statistics: how many of the training pictures have a tag.

    ss_tag_frequency   {"6_trina": {"trina": 26, " black hair": 20}, …}    counts of pictures
    ss_dataset_dirs    {"6_trina": {"n_repeats": 6, "img_count": 26}, …}

sd-scripts splits captions at commas and counts the pieces, per directory and without repeats. So
the "tags" of a set with sentences are sentences, and say nothing. Early versions kept the space
after the comma.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from lorary.anatomy.claims.datasets import entries
from lorary.anatomy.claims.metadata import base_name, clean, number, parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["CommonTag", "TagShares", "is_generic", "stop_words", "tag_shares"]

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
    """Words that name nothing (`stop_words.json`).

    `tags` describe many pictures (with underscores for spaces), and the names of `directories`
    only say that pictures lie there.
    """
    text = (resources.files("lorary.anatomy.claims") / "stop_words.json").read_text("utf-8")
    return {name: frozenset(words) for name, words in json.loads(text).items()}


_TRAITS = re.compile(
    r"(?:[a-z0-9'-]{1,40}_){1,4}(?:hair|eyes?|eyelashes|eyebrows?|pupils|bangs|skin|lips|lipstick|beard"
    r"|breasts|ears?|tail|wings|horns|ornament|hairband|ribbon|bow|hat|cap|headwear|hood|mask"
    r"|glasses|earrings|necklace|choker|collar|shirt|blouse|sweater|hoodie|jacket|coat|vest|dress"
    r"|skirt|shorts|pants|jeans|sleeves|gloves|socks|thighhighs|pantyhose|legwear|footwear|shoes"
    r"|boots|bikini|swimsuit|underwear|panties|bra|bodysuit|leotard|kimono|uniform|armor|cape"
    r"|cloak|necktie|belt|nails|background|sky|view|profile|shot|angle|lighting|quality)"
)
"""A property and its noun: what somebody has or wears, not how they are called."""


def is_generic(tag: str) -> bool:
    """Tell whether a tag could stand under pictures of anybody."""
    text = tag.strip().lower().replace(" ", "_")
    return text in stop_words()["tags"] or _TRAITS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CommonTag:
    """A caption tag with the share of training pictures that had it, in `(0, 1]`."""

    text: str
    share: float

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"text": self.text, "share": self.share}


@dataclass(frozen=True, slots=True)
class TagShares:
    """Caption statistics over all training directories.

    Attributes:
        shares: Tag to share, most frequent first; pieces of sentences are left out.
        is_counted: The number of pictures is known; else the most frequent tag of each directory
            stands for it.
        are_sentences: Most captions are sentences.
        pictures: Pictures, as far as they are known.
        only_tag: The single tag of a single directory, which is how ai-toolkit stores a trigger.
        only_count: How often that tag was counted.
        directories: Directory names, each with the metadata key it is from.
        counted: Every piece of a caption that was counted, with its count.
    """

    shares: Mapping[str, float]
    is_counted: bool = False
    are_sentences: bool = False
    pictures: int = 0
    only_tag: str | None = None
    only_count: int = 0
    directories: tuple[tuple[str, str], ...] = ()
    counted: Mapping[str, int] = field(default_factory=dict)


def tag_shares(metadata: Mapping[str, str]) -> TagShares:
    """Count caption tags over all directories, weighted by their number of pictures."""
    listed = parsed(metadata, "ss_dataset_dirs")
    names = [(name, "ss_dataset_dirs") for name in _keys(listed)]
    frequency = _frequency(metadata)
    images, beside = _subsets(metadata) if frequency else ({}, set())
    for name in beside.difference(_keys(listed)):
        frequency.pop(name, None)
    names += [(name, "ss_tag_frequency") for name in frequency]
    counts = {name: _tag_counts(tags) for name, tags in frequency.items()}
    totals: Counter[str] = Counter()
    pictures, is_counted = 0, bool(counts)
    for name, tags in counts.items():
        totals.update(tags)
        told = _images(listed, name) or images.get(name)
        is_counted = is_counted and told is not None
        pictures += told or max(tags.values(), default=0)
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
    # Thousands of tags have a few different counts.
    share = {count: min(1.0, round(count / pictures, 4)) for count in set(counts.values())}
    return dict(zip(counts, map(share.__getitem__, counts.values()), strict=True))


def _keys(value: object) -> list[str]:
    return list(value)[:_MOST_DIRECTORIES] if isinstance(value, dict) else []


def _frequency(metadata: Mapping[str, str]) -> dict[str, Mapping[str, object]]:
    """Directory to tags: from the key of its own, else from the datasets."""
    found = parsed(metadata, "ss_tag_frequency")
    if isinstance(found, dict) and found:
        return dict(_directories(found))
    merged: dict[str, Mapping[str, object]] = {}
    if "tag_frequency" in text_of(metadata, "ss_datasets"):
        for dataset in entries(parsed(metadata, "ss_datasets")):
            merged.update(_directories(dataset.get("tag_frequency")))
    return merged


def _directories(value: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name in _keys(value):
        tags = value[name] if isinstance(value, dict) else None
        if isinstance(tags, dict):
            yield name, tags


def _tag_counts(tags: Mapping[str, object]) -> Counter[str]:
    """Tag to count; counts may be texts."""
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
    """Tell whether there is nothing to clean; all are looked at as one text, which is faster."""
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
    """Pictures of a directory, None when nobody counted them."""
    facts = directories.get(name) if isinstance(directories, dict) else None
    return _picture_count(facts) if isinstance(facts, dict) else None


def _picture_count(facts: Mapping[str, object]) -> int | None:
    count = number(facts.get("img_count"))
    return int(count) if count is not None and 1 <= count <= 2**53 else None


def _subsets(metadata: Mapping[str, str]) -> tuple[dict[str, int], set[str]]:
    """Pictures by folder or caption file, and folders of regularisation.

    One folder may serve several sets, as when it is trained at several sizes. sd-scripts counts
    the tags of regularisation, too, which are those of anything but the subject.
    """
    images: dict[str, int] = {}
    beside = set(_keys(parsed(metadata, "ss_reg_dataset_dirs")))
    told = entries(parsed(metadata, "ss_datasets"))
    for subset in (entry for dataset in told for entry in entries(dataset.get("subsets"))):
        count = _picture_count(subset)
        for key in ("image_dir", "metadata_file"):
            name = subset.get(key)
            if isinstance(name, str) and subset.get("is_reg") is True:
                beside.add(base_name(name))
            elif isinstance(name, str) and count is not None:
                images[base_name(name)] = count
    return images, beside


def _are_short(tags: Collection[str]) -> bool:
    """Tell whether plainly no tag is a piece of a sentence."""
    text = "\n".join(tags)
    # Of each tag only its spaces are left.
    return text.isascii() and b" " * _TAG_WORDS not in text.encode().translate(None, _NO_SPACES)


def _is_short(tag: str) -> bool:
    if tag.isascii() and tag.count(" ") < _TAG_WORDS:  # mostly
        return True
    return len(_WORD.findall(tag)) <= _TAG_WORDS and not tag.endswith("…")
