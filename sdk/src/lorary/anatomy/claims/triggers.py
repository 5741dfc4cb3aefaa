"""Trigger words of an adapter, and the tags of its training images.

Sources in order of trust: what the author wrote, the trainer's settings, folder names, and caption
statistics. Trainers use the name of a folder as the caption of images that have none, so it counts
only if captions contain it or no captions were counted. The file's name is never a trigger word; it
only confirms a frequent tag.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lorary.anatomy.claims.datasets import entries
from lorary.anatomy.claims.metadata import (
    clean,
    first_text,
    is_private,
    parsed_json,
    raw_text,
    redact,
    whole_number,
)
from lorary.anatomy.claims.tag_statistics import (
    CommonTag,
    TagShares,
    is_generic,
    stop_words,
    tag_shares,
)

__all__ = ["CommonTag", "TagShares", "TriggerWord", "common_tags", "tag_shares", "trigger_words"]

Trust = Literal["high", "medium", "low"]

_MOST_WORDS = 10
_MOST_STATISTICAL = 5  # more than that are properties of the subject, not its name
_MOST_TAGS = 24
_MOST_LIST_CHARS = 100_000
_MOST_LISTED = 100
_TRIGGER_SHARE = 0.95
_NAME_SHARE = 0.5  # of a tag that is also the name of the folder or file
_MOST_SEARCHED = 100  # folder names searched for in captions
_COMMENT_CHARS = 4_000
_FEWEST_PICTURES = 4  # shares of fewer images mean nothing
_WORD_CHARS = 200
_STATISTICAL_WORDS = 6
_ONLY_WORDS = 12

_TRIGGER_KEYS = (
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
_COMMENT_KEYS = ("ss_training_comment", "modelspec.usage_hint", "modelspec.description", "comment")
_LABELLED = re.compile(
    r"(?<![A-Za-z])(?:identifier|(?:trigger|activation|instance)(?:[ _-]?(?:word|phrase|prompt|tag|"
    r"token)|)(?P<several>s|\(s\)|))[ \t*]{0,8}[:=][ \t*]{0,8}(?P<words>[^\n\r;|]{1,400})",
    re.IGNORECASE,
)
# The next sentence, or another label such as `Class: anime`.
_NEXT = re.compile(r"\.\s|\s[A-Z][A-Za-z]{0,30}(?: [A-Za-z]{1,30}){0,3} ?[:=]")
_QUOTES = " \t\"'`“”‘’.,*"
# `Trigger: none` and `No trigger words: just describe it` have no trigger word.
_NOTHING = re.compile(
    r"(?:none?|nothing|nil|no|n[/.]?a|[-–—_/?]{1,3}|optional|(?:no |not )[a-z ]{1,40})\Z",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?<![a-z])(?:no|without|needs no)[ \t]{1,8}\Z", re.IGNORECASE)
_BEFORE = 24  # characters in which a negation is searched
_VERSION = re.compile(
    r"(?:[ _-](?:v?[0-9][0-9.]{0,11}|e[0-9]{1,6}|epoch[0-9]{1,6}|last|final)){1,4}\Z"
)
_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class TriggerWord:
    """A word or phrase for the prompt.

    Attributes:
        text: The phrase, without invisible characters.
        source: Metadata key that it was found in.
        confidence: `high` if a person wrote it as a trigger, `medium` if the trainer used it as one
            or good statistics suggest it, `low` if weak ones do.
    """

    text: str
    source: str
    confidence: Trust

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"text": self.text, "source": self.source, "confidence": self.confidence}


def trigger_words(
    metadata: Mapping[str, str], tags: TagShares | None = None
) -> tuple[TriggerWord, ...]:
    """Return the trigger words of the adapter, the best first and without repeats.

    Args:
        tags: Result of `tag_shares` for the same metadata, if available.
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
        TriggerWord(text, key, "high") for key in _TRIGGER_KEYS for text in _phrases(metadata, key)
    ]
    written += [
        TriggerWord(text, key, "high") for key in _COMMENT_KEYS for text in _labelled(metadata, key)
    ]
    yield from written
    only = _only_tag(metadata, tags)
    if only is not None:
        yield only
    else:
        yield from _of_folders(metadata, tags)
    if not written and only is None:  # guesses add nothing to a stated trigger
        yield from _name_tags(metadata, tags)
        yield from _statistical(tags)


def _phrases(metadata: Mapping[str, object], key: str) -> list[str]:
    """Return the value as one phrase, or the entries of a JSON list."""
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
    phrase = first_text(metadata, key, most=_WORD_CHARS)
    return [] if phrase is None else [phrase]


def _labelled(metadata: Mapping[str, str], key: str) -> Iterator[str]:
    """Yield words that a comment labels: `Trigger: sks dog`, `Trigger words: sks, ohwx`."""
    comment = raw_text(metadata, key)[:_COMMENT_CHARS]
    for found in _LABELLED.finditer(comment):
        if _NEGATED.search(comment[max(0, found.start() - _BEFORE) : found.start()]):
            continue
        words = _NEXT.split(found["words"], maxsplit=1)[0]
        for word in words.split(",") if found["several"] else (words,):
            text = clean(word.strip(_QUOTES), _WORD_CHARS)
            if not _NOTHING.match(text) and "://" not in text:
                yield text


def _of_folders(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    """Yield names of folders that captions contain, or all if no captions were counted."""
    found = [TriggerWord(text, "ss_datasets", "medium") for text in _class_tokens(metadata)]
    for name, key in tags.directories:
        found += _of_directory(name, key)
    if not tags.counted:
        yield from found
        return
    captions = "\n".join(tags.counted).lower()
    for word in found[:_MOST_SEARCHED]:
        for text in dict.fromkeys((word.text, word.text.replace("_", " "))):
            if all(_is_phrase_in(part.strip(), captions) for part in text.lower().split(",")):
                yield replace(word, text=text)
                break


def _is_phrase_in(phrase: str, captions: str) -> bool:
    """Return whether a phrase occurs in the captions as whole words."""
    begin = captions.find(phrase)
    while begin >= 0 and phrase:
        end = begin + len(phrase)
        around = captions[begin - 1 : begin] + captions[end : end + 1]
        if not any(map(str.isalnum, around)):
            return True
        begin = captions.find(phrase, end)
    return False


def _only_tag(metadata: Mapping[str, str], tags: TagShares) -> TriggerWord | None:
    """Return the only tag of the only directory: ai-toolkit stores its trigger like this."""
    text = tags.only_tag
    if text is None or len(text.split()) > _ONLY_WORDS:
        return None
    if "ai-toolkit" in raw_text(metadata, "software") or tags.only_count == 1:
        return TriggerWord(text, "ss_tag_frequency", "high")
    return None if is_generic(text) else TriggerWord(text, "ss_tag_frequency", "medium")


def _class_tokens(metadata: Mapping[str, str]) -> Iterator[str]:
    """Yield sd-scripts' captions for images without one; not those of regularisation."""
    if "class_tokens" not in raw_text(metadata, "ss_datasets"):
        return
    for dataset in entries(parsed_json(metadata, "ss_datasets")):
        for subset in entries(dataset.get("subsets")):
            token = subset.get("class_tokens")
            if isinstance(token, str) and subset.get("is_reg") is not True:
                text = clean(token, _WORD_CHARS)
                if text.lower() not in stop_words()["directories"] and not is_generic(text):
                    yield text


def _of_directory(name: str, key: str) -> Iterator[TriggerWord]:
    """Yield the phrase of a folder named `<repeats>_<token> <class>`."""
    found = _DIRECTORY.fullmatch(_SEPARATOR.split(redact(name[:2_000]).rstrip("/\\"))[-1])
    text = clean(found[1], _WORD_CHARS) if found else ""
    if text and text.lower() not in stop_words()["directories"] and not is_generic(text):
        yield TriggerWord(text, key, "medium")


def _name_tags(metadata: Mapping[str, str], tags: TagShares) -> Iterator[TriggerWord]:
    """Yield frequent tags that equal the name of the folder or file, if first tags are kept.

    Captions that are shuffled after the first tag (`keep_tokens`) begin with the trigger word, but
    some captions may lack it.
    """
    if tags.pictures < _FEWEST_PICTURES or not _keeps_tokens(metadata):
        return
    names = {_bare_name(_SEPARATOR.split(name.rstrip("/\\"))[-1]) for name, _ in tags.directories}
    names.add(_bare_name(first_text(metadata, "ss_output_name") or ""))
    frequent = itertools.takewhile(lambda one: one[1] >= _NAME_SHARE, tags.shares.items())
    for text, _ in frequent:
        if _bare_name(text) in names and not is_generic(text):
            yield TriggerWord(text, "ss_tag_frequency", "medium")


def _keeps_tokens(metadata: Mapping[str, str]) -> bool:
    if whole_number(metadata.get("ss_keep_tokens")):
        return True
    datasets = entries(parsed_json(metadata, "ss_datasets"))
    subsets = (subset for dataset in datasets for subset in entries(dataset.get("subsets")))
    return any(whole_number(subset.get("keep_tokens")) for subset in subsets)


def _bare_name(name: str) -> str:
    """Return a name without repeats, version and separators: `10_sks_dog` equals `sks-dog_v2`."""
    found = _DIRECTORY.fullmatch(name[:_WORD_CHARS])
    bare = _VERSION.sub("", found[1] if found else name[:_WORD_CHARS])
    return _SEPARATORS.sub("", bare.lower())


def _statistical(tags: TagShares) -> Iterator[TriggerWord]:
    """Yield specific tags that nearly all images have."""
    if tags.pictures < _FEWEST_PICTURES:
        return
    trust: Trust = "medium" if tags.is_counted and not tags.are_sentences else "low"
    frequent = itertools.takewhile(lambda one: one[1] >= _TRIGGER_SHARE, tags.shares.items())
    words = (
        tag for tag, _ in frequent if len(tag.split()) <= _STATISTICAL_WORDS and not is_generic(tag)
    )
    for text in itertools.islice(words, _MOST_STATISTICAL):
        yield TriggerWord(text, "ss_tag_frequency", trust)


def common_tags(tags: TagShares, words: tuple[TriggerWord, ...]) -> tuple[CommonTag, ...]:
    """Return the most frequent tags that aren't trigger words; none if captions are sentences."""
    if tags.are_sentences:
        return ()
    taken = {word.text.lower() for word in words}
    found = [
        CommonTag(text, share)
        for text, share in itertools.islice(tags.shares.items(), 2 * _MOST_TAGS)
        if share and text.lower() not in taken and not is_private(text)
    ]
    return tuple(found[:_MOST_TAGS])
