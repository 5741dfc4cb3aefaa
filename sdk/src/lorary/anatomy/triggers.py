"""Words that wake an adapter, and the tags it was trained with.

Sources in the order of trust: what the author wrote down, what the trainer was told, folder
names, and statistics of the captions. The file's name is never taken for a trigger word.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.metadata import clean, number, parsed, present

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CommonTag", "TriggerWord", "common_tags", "tag_shares", "trigger_words"]

Trust = Literal["high", "medium", "low"]

_MOST_WORDS = 10
_MOST_STATISTICAL = 3  # more than that are properties of the subject, not its name
_MOST_TAGS = 24
_MOST_DIRECTORIES = 1_000
_MOST_TAGS_READ = 100_000
_TRIGGER_SHARE = 0.95
_WORD_CHARS = 200
_TAG_CHARS = 80

_WRITTEN = (
    "modelspec.trigger_phrase",
    "modelspec.trigger_word",
    "modelspec.trigger_words",
    "trigger_phrase",
    "trigger_word",
    "trigger_words",
    "ss_trained_words",
)
_DIRECTORY = re.compile(r"\s*\d+_(.+)", re.DOTALL)
_PLAIN_DIRECTORIES = frozenset(
    {"data", "dataset", "image", "images", "img", "input", "train", "training", "trigger", "raw"}
)
_GENERIC = frozenset(
    {
        "1girl",
        "1boy",
        "2girls",
        "2boys",
        "multiple_girls",
        "multiple_boys",
        "solo",
        "no_humans",
        "girl",
        "boy",
        "woman",
        "man",
        "person",
        "female",
        "male",
        "masterpiece",
        "best_quality",
        "high_quality",
        "highres",
        "absurdres",
        "looking_at_viewer",
        "smile",
        "simple_background",
        "white_background",
        "black_background",
        "grey_background",
        "standing",
        "sitting",
        "full_body",
        "upper_body",
        "portrait",
        "close-up",
        "indoors",
        "outdoors",
        "day",
        "night",
        "sky",
        "monochrome",
        "greyscale",
        "score_9",
        "score_8_up",
        "score_7_up",
        "source_anime",
        "source_pony",
        "rating_safe",
        "rating_explicit",
        "rating_questionable",
        "anime",
        "photo",
        "photorealistic",
        "realistic",
        "long_hair",
        "short_hair",
        "breasts",
        "blush",
        "open_mouth",
        "closed_mouth",
        "shirt",
        "hair_ornament",
    }
)
"""Tags that describe many pictures, so that their share says nothing."""


@dataclass(frozen=True, slots=True)
class TriggerWord:
    """A word or phrase for the prompt.

    Attributes:
        text: The phrase, without invisible characters.
        source: Metadata key that it was found in.
        confidence: `high` when somebody wrote it as a trigger, `medium` when the trainer used it
            as one, `low` when only statistics suggest it.
    """

    text: str
    source: str
    confidence: Trust

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"text": self.text, "source": self.source, "confidence": self.confidence}


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
        shares: Tag to share, most frequent first.
        is_counted: The number of pictures is known; else the most frequent tag stands for it.
        only_tag: The single tag of a single directory, which is how ai-toolkit stores a trigger.
        directories: Phrases of directory names, each with the metadata key it is from.
    """

    shares: Mapping[str, float]
    is_counted: bool
    only_tag: str | None
    directories: tuple[tuple[str, str], ...] = ()


def trigger_words(metadata: Mapping[str, str], tags: TagShares) -> tuple[TriggerWord, ...]:
    """Find the words that wake the adapter, best first and without repeats.

    Args:
        metadata: The header's metadata.
        tags: Result of `tag_shares` for the same metadata.
    """
    found: dict[str, TriggerWord] = {}
    for word in _candidates(metadata, tags):
        if word.text and word.text.lower() not in found:
            found[word.text.lower()] = word
            if len(found) == _MOST_WORDS:
                break
    return tuple(found.values())


def _candidates(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    yield from (written := list(_written(metadata, tags)))
    if tags.only_tag is None:  # else the trainer, not a person, named the directory
        for text, key in tags.directories:
            yield TriggerWord(text, key, "medium")
    if written:
        return  # a guess adds nothing to what somebody wrote down
    trust: Trust = "medium" if tags.is_counted else "low"
    often = [tag for tag, share in tags.shares.items() if share >= _TRIGGER_SHARE]
    named = [tag for tag in often if tag.lower().replace(" ", "_") not in _GENERIC]
    for text in named[:_MOST_STATISTICAL]:
        yield TriggerWord(text, "ss_tag_frequency", trust)


def _written(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    for key in _WRITTEN:
        for text in _phrases(metadata, key):
            yield TriggerWord(text, key, "high")
    if tags.only_tag:
        yield TriggerWord(tags.only_tag, "ss_tag_frequency", "high")
    if "class_tokens" in metadata.get("ss_datasets", ""):
        for text in _class_tokens(parsed(metadata, "ss_datasets")):
            yield TriggerWord(text, "ss_datasets", "high")


def _phrases(metadata: Mapping[str, str], key: str) -> list[str]:
    """The value as one phrase, or its entries when it is a JSON list."""
    value = present(metadata, key, most=_WORD_CHARS)
    if value is None:
        return []
    if metadata[key].lstrip().startswith("["):
        try:
            entries = json.loads(metadata[key][:_MOST_TAGS_READ])
        except (ValueError, RecursionError):
            return [value]
        return [clean(text, _WORD_CHARS) for text in entries if isinstance(text, str)]
    return [value]


def _class_tokens(datasets: object) -> Iterator[str]:
    for dataset in datasets if isinstance(datasets, list) else ():
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        for subset in subsets if isinstance(subsets, list) else ():
            token = subset.get("class_tokens") if isinstance(subset, dict) else None
            if isinstance(token, str) and not (isinstance(subset, dict) and subset.get("is_reg")):
                text = clean(token, _WORD_CHARS)
                if text.lower() not in _PLAIN_DIRECTORIES:
                    yield text


def _directory_tokens(directories: object) -> Iterator[str]:
    """Phrases of folders named `<repeats>_<token> <class>`."""
    for name in list(directories)[:_MOST_DIRECTORIES] if isinstance(directories, dict) else ():
        found = _DIRECTORY.fullmatch(name)
        if found and found[1].strip().lower() not in _PLAIN_DIRECTORIES:
            yield clean(found[1], _WORD_CHARS)


def tag_shares(metadata: Mapping[str, str]) -> TagShares:
    """Count caption tags over all directories, weighted by their number of pictures."""
    frequency = parsed(metadata, "ss_tag_frequency")
    listed = parsed(metadata, "ss_dataset_dirs")
    phrases = [(text, "ss_dataset_dirs") for text in _directory_tokens(listed)]
    phrases += [(text, "ss_tag_frequency") for text in _directory_tokens(frequency)]
    if not isinstance(frequency, dict):
        return TagShares({}, is_counted=False, only_tag=None, directories=tuple(phrases))
    directories = {
        name: _tag_counts(tags)
        for name, tags in list(frequency.items())[:_MOST_DIRECTORIES]
        if isinstance(tags, dict)
    }
    totals: Counter[str] = Counter()
    for counts in directories.values():
        totals.update(counts)
    images = _images(listed, directories)
    base = images or sum(max(counts.values(), default=0) for counts in directories.values())
    shares = {tag: min(1.0, round(count / base, 4)) for tag, count in totals.most_common() if base}
    lone = len(directories) == 1 and len(totals) == 1
    return TagShares(
        shares,
        is_counted=images is not None,
        only_tag=next(iter(totals)) if lone else None,
        directories=tuple(phrases),
    )


def _tag_counts(tags: Mapping[str, object]) -> Counter[str]:
    """Tag to count; counts may be texts and tags may keep a space (early sd-scripts)."""
    counts: Counter[str] = Counter()
    for tag, count in list(tags.items())[:_MOST_TAGS_READ]:
        often = number(count)
        text = clean(tag, _TAG_CHARS)
        if often is not None and often >= 1 and text:
            counts[text] += int(often)
    return counts


def _images(directories: object, tagged: Mapping[str, object]) -> int | None:
    """Pictures in the tagged directories, None when the number of any is missing."""
    if not isinstance(directories, dict) or not tagged:
        return None
    total = 0
    for name in tagged:
        facts = directories.get(name)
        count = number(facts.get("img_count")) if isinstance(facts, dict) else None
        if count is None or count < 1:
            return None
        total += int(count)
    return total


def common_tags(tags: TagShares, words: tuple[TriggerWord, ...]) -> tuple[CommonTag, ...]:
    """The most frequent tags that are no trigger words."""
    taken = {word.text.lower() for word in words}
    rest = ((tag, share) for tag, share in tags.shares.items() if tag.lower() not in taken)
    return tuple(CommonTag(tag, share) for tag, share in list(rest)[:_MOST_TAGS])
