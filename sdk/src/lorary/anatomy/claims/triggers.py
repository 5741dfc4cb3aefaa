"""Words that wake an adapter, and the tags it was trained with.

Sources in the order of trust: what the author wrote down, what the trainer was told, folder
names, and statistics of the captions. A folder's name is one only where captions have it or none
were counted: trainers use it for pictures without a caption. The file's name is never taken for a
trigger word; it only confirms a tag that many captions have.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lorary.anatomy.claims.datasets import entries
from lorary.anatomy.claims.metadata import (
    clean,
    count,
    is_private,
    parsed,
    present,
    redact,
    text_of,
)
from lorary.anatomy.claims.tag_statistics import (
    CommonTag,
    TagShares,
    is_generic,
    stop_words,
    tag_shares,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CommonTag", "TagShares", "TriggerWord", "common_tags", "tag_shares", "trigger_words"]

Trust = Literal["high", "medium", "low"]

_MOST_WORDS = 10
_MOST_STATISTICAL = 5  # more than that are properties of the subject, not its name
_MOST_TAGS = 24
_MOST_LIST_CHARS = 100_000
_MOST_LISTED = 100
_TRIGGER_SHARE = 0.95
_NAMED_SHARE = 0.5  # of a tag that is also a name
_MOST_SEARCHED = 100  # folder names that are looked for in captions
_COMMENT_CHARS = 4_000
_FEWEST_PICTURES = 4  # of fewer, every tag has a share that means nothing
_WORD_CHARS = 200
_STATISTICAL_WORDS = 6
_ONLY_WORDS = 12

_WRITTEN = (
    "modelspec.trigger_phrase",
    "modelspec.trigger_word",
    "modelspec.trigger_words",
    "trigger_phrase",
    "trigger_word",
    "trigger_words",
    "ss_trigger_words",
    "ss_trigger_word",
    "ss_trained_words",
    "trained_words",
)
_DIRECTORY = re.compile(r"\s{0,1024}[0-9]{1,6}_(.+)", re.DOTALL)
_SEPARATOR = re.compile(r"[\\/]")
_COMMENTS = ("ss_training_comment", "modelspec.usage_hint", "modelspec.description", "comment")
_LABELLED = re.compile(
    r"(?<![A-Za-z])(?:identifier|(?:trigger|activation|instance)(?:[ _-]?(?:word|phrase|prompt|tag|"
    r"token)|)(?P<several>s|\(s\)|))[ \t*]{0,8}[:=][ \t*]{0,8}(?P<words>[^\n\r;|]{1,400})",
    re.IGNORECASE,
)
# What follows: another sentence, or another label such as `Class: anime`.
_NEXT = re.compile(r"\.\s|\s[A-Z][A-Za-z]{0,30}(?: [A-Za-z]{1,30}){0,3} ?[:=]")
_QUOTES = " \t\"'`“”‘’.,*"
# `Trigger: none` and `No trigger words: just describe it` name no word.
_NOTHING = re.compile(
    r"(?:none?|nothing|nil|no|n[/.]?a|[-–—_/?]{1,3}|optional|(?:no |not )[a-z ]{1,40})\Z",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?<![a-z])(?:no|without|needs no)[ \t]{1,8}\Z", re.IGNORECASE)
_BEFORE = 24  # characters, for a negation
_VERSION = re.compile(
    r"(?:[ _-](?:v?[0-9][0-9.]{0,11}|e[0-9]{1,6}|epoch[0-9]{1,6}|last|final)){1,4}\Z"
)
_APART = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class TriggerWord:
    """A word or phrase for the prompt.

    Attributes:
        text: The phrase, without invisible characters.
        source: Metadata key that it was found in.
        confidence: `high` when somebody wrote it as a trigger, `medium` when the trainer used it
            as one or counted statistics suggest it, `low` when weaker ones do.
    """

    text: str
    source: str
    confidence: Trust

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"text": self.text, "source": self.source, "confidence": self.confidence}


def trigger_words(
    metadata: Mapping[str, str], tags: TagShares | None = None
) -> tuple[TriggerWord, ...]:
    """Find the words that wake the adapter, best first and without repeats.

    Args:
        metadata: The header's metadata.
        tags: Result of `tag_shares` for the same metadata, when it is at hand.
    """
    found: dict[str, TriggerWord] = {}
    for word in _candidates(metadata, tag_shares(metadata) if tags is None else tags):
        if word.text and word.text.lower() not in found and not is_private(word.text):
            found[word.text.lower()] = word
            if len(found) == _MOST_WORDS:
                break
    return tuple(found.values())


def _candidates(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    written = [
        TriggerWord(text, key, "high") for key in _WRITTEN for text in _phrases(metadata, key)
    ]
    written += [
        TriggerWord(text, key, "high") for key in _COMMENTS for text in _labelled(metadata, key)
    ]
    yield from written
    lone = _lone(metadata, tags)
    if lone is not None:
        yield lone
    else:
        yield from _of_folders(metadata, tags)
    if not written and lone is None:  # a guess adds nothing to what somebody wrote down
        yield from _named(metadata, tags)
        yield from _statistical(tags)


def _phrases(metadata: Mapping[str, object], key: str) -> list[str]:
    """The value as one phrase, or its entries when it is a JSON list."""
    raw = metadata.get(key)
    value = raw
    if isinstance(raw, str) and raw.lstrip()[:1] == "[" and len(raw) <= _MOST_LIST_CHARS:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = raw
    if isinstance(value, list):
        listed = [text for text in value[:_MOST_LISTED] if isinstance(text, str)]
        return [clean(text, _WORD_CHARS) for text in listed]
    phrase = present(metadata, key, most=_WORD_CHARS)
    return [] if phrase is None else [phrase]


def _labelled(metadata: Mapping[str, str], key: str) -> Iterator[str]:
    """Words that a comment calls so: `Trigger: sks dog`, `Trigger words: sks, ohwx`."""
    comment = text_of(metadata, key)[:_COMMENT_CHARS]
    for found in _LABELLED.finditer(comment):
        if _NEGATED.search(comment[max(0, found.start() - _BEFORE) : found.start()]):
            continue
        words = _NEXT.split(found["words"], maxsplit=1)[0]
        for word in words.split(",") if found["several"] else (words,):
            text = clean(word.strip(_QUOTES), _WORD_CHARS)
            if not _NOTHING.match(text) and "://" not in text:
                yield text


def _of_folders(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    """Names of folders, as far as captions have them or no caption was counted."""
    found = [TriggerWord(text, "ss_datasets", "medium") for text in _class_tokens(metadata)]
    for name, key in tags.directories:
        found += _of_directory(name, key)
    if not tags.counted:
        yield from found
        return
    captions = "\n".join(tags.counted).lower()
    for word in found[:_MOST_SEARCHED]:
        for text in dict.fromkeys((word.text, word.text.replace("_", " "))):
            if all(_stands_in(piece.strip(), captions) for piece in text.lower().split(",")):
                yield replace(word, text=text)
                break


def _stands_in(phrase: str, captions: str) -> bool:
    """Tell whether a phrase is whole words of a caption."""
    at = captions.find(phrase)
    while at >= 0 and phrase:
        around = captions[at - 1 : at] + captions[at + len(phrase) : at + len(phrase) + 1]
        if not any(map(str.isalnum, around)):
            return True
        at = captions.find(phrase, at + len(phrase))
    return False


def _lone(metadata: Mapping[str, str], tags: TagShares) -> TriggerWord | None:
    """The only tag of the only directory: ai-toolkit stores the trigger it was told like that."""
    text = tags.only_tag
    if text is None or len(text.split()) > _ONLY_WORDS:
        return None
    if "ai-toolkit" in text_of(metadata, "software") or tags.only_count == 1:
        return TriggerWord(text, "ss_tag_frequency", "high")
    return None if is_generic(text) else TriggerWord(text, "ss_tag_frequency", "medium")


def _class_tokens(metadata: Mapping[str, str]) -> Iterator[str]:
    """What sd-scripts took as the caption of pictures without one; regularisation left out."""
    if "class_tokens" not in text_of(metadata, "ss_datasets"):
        return
    for dataset in entries(parsed(metadata, "ss_datasets")):
        for subset in entries(dataset.get("subsets")):
            token = subset.get("class_tokens")
            if isinstance(token, str) and subset.get("is_reg") is not True:
                text = clean(token, _WORD_CHARS)
                if text.lower() not in stop_words()["directories"] and not is_generic(text):
                    yield text


def _of_directory(name: str, key: str) -> Iterator[TriggerWord]:
    """The phrase of a folder named `<repeats>_<token> <class>`."""
    found = _DIRECTORY.fullmatch(_SEPARATOR.split(redact(name[:2_000]).rstrip("/\\"))[-1])
    text = clean(found[1], _WORD_CHARS) if found else ""
    if text and text.lower() not in stop_words()["directories"] and not is_generic(text):
        yield TriggerWord(text, key, "medium")


def _named(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    """Frequent tags that the folder or the file is named after, where first tags are kept.

    Captions that are shuffled after the first tag (`keep_tokens`) begin with the trigger word; it
    may be left out of some.
    """
    if tags.pictures < _FEWEST_PICTURES or not _keeps_tokens(metadata):
        return
    names = {_same(_SEPARATOR.split(name.rstrip("/\\"))[-1]) for name, _ in tags.directories}
    names.add(_same(present(metadata, "ss_output_name") or ""))
    often = itertools.takewhile(lambda one: one[1] >= _NAMED_SHARE, tags.shares.items())
    for text, _ in often:
        if _same(text) in names and not is_generic(text):
            yield TriggerWord(text, "ss_tag_frequency", "medium")


def _keeps_tokens(metadata: Mapping[str, str]) -> bool:
    if count(metadata.get("ss_keep_tokens")):
        return True
    datasets = entries(parsed(metadata, "ss_datasets"))
    subsets = (subset for dataset in datasets for subset in entries(dataset.get("subsets")))
    return any(count(subset.get("keep_tokens")) for subset in subsets)


def _same(name: str) -> str:
    """A name without repeats, version and separators: `10_sks_dog`, `sks-dog_v2`, `sks dog`."""
    found = _DIRECTORY.fullmatch(name[:_WORD_CHARS])
    bare = _VERSION.sub("", found[1] if found else name[:_WORD_CHARS])
    return _APART.sub("", bare.lower())


def _statistical(tags: TagShares) -> Iterator[TriggerWord]:
    """Tags that nearly every picture has, and that name something."""
    if tags.pictures < _FEWEST_PICTURES:
        return
    trust: Trust = "medium" if tags.is_counted and not tags.are_sentences else "low"
    often = itertools.takewhile(lambda one: one[1] >= _TRIGGER_SHARE, tags.shares.items())
    words = (
        tag for tag, _ in often if len(tag.split()) <= _STATISTICAL_WORDS and not is_generic(tag)
    )
    for text in itertools.islice(words, _MOST_STATISTICAL):
        yield TriggerWord(text, "ss_tag_frequency", trust)


def common_tags(tags: TagShares, words: tuple[TriggerWord, ...]) -> tuple[CommonTag, ...]:
    """The most frequent tags that are no trigger words; none where captions are sentences."""
    if tags.are_sentences:
        return ()
    taken = {word.text.lower() for word in words}
    found = [
        CommonTag(text, share)
        for text, share in itertools.islice(tags.shares.items(), 2 * _MOST_TAGS)
        if share and text.lower() not in taken and not is_private(text)
    ]
    return tuple(found[:_MOST_TAGS])
