"""Reads what sidecars say about an adapter. All of it is untrusted text.

Each value keeps its source and how far to trust it:

```
proven    the tensors show it
declared  the user typed it into a tool
likely    the tensors show it, but do not prove it
claimed   a site or the header says it
guessed   the name of the file suggests it
```
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lorary.anatomy.claims.metadata import clean, public_text, redact
from lorary.anatomy.claims.training import description as modelspec_description
from lorary.anatomy.claims.training import recommended_strength
from lorary.anatomy.claims.training import title as modelspec_title
from lorary.anatomy.claims.triggers import trigger_words
from lorary.client.errors import FileUnreadable, reading_file
from lorary.client.names import is_tag
from lorary.library.sidecars.beside import SIDECARS

Confidence = Literal["proven", "declared", "likely", "claimed", "guessed"]

_MOST_BYTES = 8 * 1024 * 1024
_MOST_TEXT = 20_000
_MOST_WORDS, _MOST_TAGS = 32, 30
_MOST_STRENGTH = 10.0
#: A tag of HTML; each character is looked at once, whatever the text is.
_TAG = re.compile(r"<(?:(?P<name>/?[A-Za-z][A-Za-z0-9]*)|[!?])[^<>]*>")
_HIDDEN = frozenset({"script", "style"})
_BREAKS = {
    **dict.fromkeys(
        ("br", "div", "h1", "h2", "h3", "h4", "p", "/p", "pre", "tr", "ul", "ol"), "\n"
    ),
    "li": "\n- ",
}
_NUMBER = re.compile(r"-?[0-9]{1,3}(?:\.[0-9]{1,6})?\Z")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a field, and where it comes from.

    Attributes:
        field: ``title``, ``label``, ``card``, ``notes``, ``kind``, ``tags``, ``trigger_words``,
            ``base``, ``strength``, ``rating``, ``licence`` or ``author``.
        value: A text, a number, or a tuple of texts.
        source: Name of a file, a metadata key, ``tensors``, ``header`` or ``file name``.
        confidence: How far to trust it.
    """

    field: str
    value: object
    source: str
    confidence: Confidence

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"value": value, "source": self.source, "confidence": self.confidence}


_Pair = tuple[str, object, Confidence]
_JSON = Mapping[str, Any]


def read_sidecar(path: Path) -> tuple[Value, ...]:
    """Return the values of a sidecar, without empty ones.

    Raises:
        FileMissing: it cannot be read.
        FileUnreadable: it is not what its tool writes.
    """
    document = _document(path)
    suffix = next(one for one in sorted(SIDECARS, key=len, reverse=True)
                  if path.name.casefold().endswith(one))  # fmt: skip
    return tuple(
        Value(field, value, path.name, confidence)
        for field, value, confidence in _READERS[suffix](document)
        if value not in (None, "", ())
    )


def _document(path: Path) -> _JSON:
    with reading_file(path):
        if not path.is_file() and path.exists():  # reading a pipe would wait forever
            message = f"{path.name} is not a regular file."
            raise FileUnreadable(message)
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        message = f"{path.name} is larger than {_MOST_BYTES // 2**20} MiB, so it was not read."
        raise FileUnreadable(message)
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        message = f"{path.name} is not valid JSON."
        raise FileUnreadable(message) from error
    if not isinstance(document, dict):
        message = f"{path.name} is not a JSON object."
        raise FileUnreadable(message)
    return document


def _civitai_info(version: _JSON) -> Iterator[_Pair]:
    """Yield the values of Civitai's answer for a version."""
    model = _mapping(version, "model")
    yield "title", _text(model, "name"), "claimed"
    yield "label", _text(version, "name", most=48), "claimed"
    yield "trigger_words", _words(version.get("trainedWords")), "claimed"
    yield "base", _text(version, "baseModel"), "claimed"
    yield "card", _plain(model.get("description")), "claimed"
    yield "notes", _plain(version.get("description")), "claimed"
    yield "tags", _tags(model.get("tags")), "claimed"
    yield "rating", "mature" if model.get("nsfw") is True else None, "claimed"
    creator = _mapping(version, "creator") or _mapping(model, "creator")
    yield "author", _text(creator, "username"), "claimed"


def _a1111(card: _JSON) -> Iterator[_Pair]:
    """Yield the values of A1111's and Forge's card of a model."""
    yield "card", _plain(card.get("description")), "declared"
    yield "notes", _plain(card.get("notes")), "declared"
    phrase = _text(card, "activation text")
    yield "trigger_words", (phrase,) if phrase else (), "declared"
    yield "strength", _strength(card.get("preferred weight")), "declared"
    yield "base", _text(card, "sd version"), "declared"


def _lora_manager(card: _JSON) -> Iterator[_Pair]:
    """Yield the values of LoRA Manager: what the user edited, then Civitai's answer."""
    yield "title", _text(card, "model_name"), "declared"
    yield "notes", _plain(card.get("notes")), "declared"
    yield "tags", _tags(card.get("tags")), "declared"
    yield "base", _text(card, "base_model"), "declared"
    yield "card", _plain(card.get("modelDescription")), "claimed"
    tips = _nested(card.get("usage_tips"))
    yield "strength", _strength(tips.get("strength")), "declared"
    yield from _civitai_info(_mapping(card, "civitai"))


def _matrix(card: _JSON) -> Iterator[_Pair]:
    """Yield the values of Stability Matrix."""
    yield "title", _text(card, "ModelName"), "claimed"
    yield "label", _text(card, "VersionName", most=48), "claimed"
    yield "trigger_words", _words(card.get("TrainedWords")), "claimed"
    yield "base", _text(card, "BaseModel"), "claimed"
    yield "card", _plain(card.get("ModelDescription")), "claimed"
    yield "notes", _plain(card.get("VersionDescription")), "claimed"
    yield "tags", _tags(card.get("Tags")), "claimed"
    yield "rating", "mature" if card.get("Nsfw") is True else None, "claimed"


def _swarm(document: _JSON) -> Iterator[_Pair]:
    """Yield the values of SwarmUI, which writes the keys of a header."""
    nested = document.get("__metadata__")
    source = nested if isinstance(nested, dict) else document
    header = {key: value for key, value in source.items() if isinstance(value, str)}
    yield "title", modelspec_title(header), "declared"
    yield "card", _plain(modelspec_description(header)), "declared"
    stated = [word.text for word in trigger_words(header) if word.confidence == "high"]
    yield "trigger_words", tuple(stated), "declared"
    yield "strength", recommended_strength(header), "declared"
    yield "base", _text(header, "modelspec.architecture"), "declared"
    yield "licence", _text(header, "modelspec.license", most=64), "declared"
    yield "author", _text(header, "modelspec.author"), "declared"
    yield "tags", _tags((header.get("modelspec.tags") or "").split(",")), "declared"


_READERS: Mapping[str, Callable[[_JSON], Iterator[_Pair]]] = {
    ".civitai.info": _civitai_info,
    ".json": _a1111,
    ".metadata.json": _lora_manager,
    ".cm-info.json": _matrix,
    ".swarm.json": _swarm,
}


def _mapping(document: _JSON, key: str) -> _JSON:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _nested(value: object) -> _JSON:
    """Return an object that is written as text; {} for anything else."""
    if not isinstance(value, str):
        return value if isinstance(value, dict) else {}
    try:
        document = json.loads(value[:_MOST_TEXT])
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: _JSON, key: str, most: int = 200) -> str:
    value = document.get(key)
    return public_text(value, most) if isinstance(value, str) else ""


def _words(value: object) -> tuple[str, ...]:
    """Return trigger phrases; sites write some as a list and some as one text with commas."""
    found = (clean(text, 200).strip(" ,") for text in _texts(value, _MOST_WORDS))
    return tuple(dict.fromkeys(text for text in found if text))


def _tags(value: object) -> tuple[str, ...]:
    found = (clean(text, 48).casefold() for text in _texts(value, _MOST_TAGS))
    return tuple(dict.fromkeys(text for text in found if is_tag(text)))


def _texts(value: object, most: int) -> Sequence[str]:
    if not isinstance(value, list):
        return ()
    named = (one.get("name") if isinstance(one, dict) else one for one in value[:most])
    return [one for one in named if isinstance(one, str)]


def _strength(value: object) -> float | None:
    if isinstance(value, str) and _NUMBER.match(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Tools write 0 for "not set"; a whole number may be too large for float().
    return round(float(value), 3) if 0 < abs(value) <= _MOST_STRENGTH else None


def _plain(value: object) -> str:
    """Return text without HTML and private data, with its paragraphs."""
    if not isinstance(value, str):
        return ""
    lines = (
        clean(line, _MOST_TEXT) for line in _without_html(value[: 4 * _MOST_TEXT]).splitlines()
    )
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(redact(line) for line in lines)).strip()
    return text[:_MOST_TEXT]


def _without_html(text: str) -> str:
    """Return the text of HTML, without scripts.

    The standard library's parser takes minutes for a text with thousands of unfinished tags.
    """
    parts: list[str] = []
    hidden, start = "", 0
    for tag in _TAG.finditer(text):
        name = (tag["name"] or "").casefold()
        if not hidden:
            parts += (_unescaped(text[start : tag.start()]), _BREAKS.get(name, ""))
            hidden = name if name in _HIDDEN else ""
        elif name == f"/{hidden}":
            hidden = ""
        start = tag.end()
    return "".join([*parts, "" if hidden else _unescaped(text[start:])])


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number with thousands of digits
        return text
