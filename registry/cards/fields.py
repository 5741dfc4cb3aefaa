"""Reads README.md into the fields of an adapter and its version.

```
README.md front matter        adapter                     its version
license, license_name         licence
tags                          tags
base_model                                                declared family, lineage
instance_prompt                                           trigger words
optional_trigger_words                                    optional trigger words
text after the front matter   card
```

Other keys, such as ``widget``, stay in the file, which clients of the Hub read unchanged.
Invalid values are left out with a warning; they never prevent a push.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.base_models import claims_of
from lorary.anatomy.claims.config import AdapterConfig
from lorary.client.names import is_tag
from registry import storage
from registry.adapters import services as adapters
from registry.cards import front_matter as matter
from registry.errors import Invalid
from registry.models import Blob
from registry.names import has_control
from registry.versions import contents, details
from registry.versions.details import Details

NAME = contents.README
#: Tag of the Hub for content that is not for all audiences.
NOT_FOR_ALL = "not-for-all-audiences"
#: Key of the front matter with the optional trigger words.
OPTIONAL_WORDS = "optional_trigger_words"
#: Number of bytes of a README that are read; the rest of a longer one is ignored.
MAX_READ = 1024 * 1024

#: Tags for a library or a task, which programs add by default.
_GENERIC_TAGS = frozenset(
    {
        "diffusers", "diffusers-training", "image-to-image", "image-to-video", "lora", "peft",
        "pytorch", "safetensors", "stable-diffusion-diffusers", "text-to-image", "text-to-video",
        "transformers", NOT_FOR_ALL,
    }
)  # fmt: skip


def is_generic_tag(tag: str) -> bool:
    """Return whether a tag of a README is for a library, a task or a trainer, and so generic."""
    return tag.casefold() in _GENERIC_TAGS or ":" in tag


@dataclass(frozen=True, slots=True)
class Card:
    """The values of a README; None means not given.

    Attributes:
        optional_trigger_words: From a key of that name, which only this hub knows.
    """

    text: str = ""  # the text after the front matter, as the page shows it
    family: str | None = None  # id of its base model's family
    lineage: str | None = None  # its base model's lineage
    trigger_words: tuple[str, ...] | None = None  # from ``instance_prompt``
    optional_trigger_words: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None  # without generic ones
    licence: str | None = None  # id, or the name of another licence
    is_mature: bool = False  # whether it has the tag ``NOT_FOR_ALL``
    warnings: tuple[str, ...] = ()  # a sentence for each value that was left out

    def details(self, current: Details | None = None) -> Details:
        """Return the current details of a version, overridden by the card's values."""
        found = current or Details()
        if self.family is not None:
            found = replace(found, declared_family=self.family)
        if self.lineage is not None:
            found = replace(found, lineage=self.lineage)
        if self.trigger_words is not None:
            found = replace(found, trigger_words=self.trigger_words)
        if self.optional_trigger_words is not None:
            found = replace(found, optional_trigger_words=self.optional_trigger_words)
        return found


def front_matter(text: str) -> dict[str, Any]:
    """Return the front matter of a README as JSON values; {} without one.

    Raises:
        Invalid: it is not YAML, or exceeds a limit; the message has the line.
    """
    return matter.parse(matter.split(text)[0])


def decoded(data: bytes) -> str:
    """Return the first ``MAX_READ`` bytes of a README as text.

    Raises:
        Invalid: it is not UTF-8.
    """
    is_whole = len(data) <= MAX_READ
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data[:MAX_READ], final=is_whole)
    except UnicodeDecodeError as error:
        text = _("README.md is not UTF-8 text (byte %(at)d). Save it as UTF-8.")
        detail = text % {"at": error.start}
        raise Invalid(detail, fields={NAME: detail}) from error


def read_blob(blob: Blob) -> Card:
    """Return the card of a stored README.

    Raises:
        Invalid: see ``decoded`` and ``read``.
        FileNotFoundError: its bytes are missing.
    """
    return read(text_of(blob))


def text_of(blob: Blob) -> str:
    """Return the first ``MAX_READ`` bytes of a stored README; raises as ``read_blob`` does."""
    with storage.store().open(blob.sha256) as handle:
        return decoded(handle.read(MAX_READ + 1))


def read(text: str) -> Card:
    """Return the card of a README.

    Raises:
        Invalid: its front matter is not YAML, or exceeds a limit.
    """
    raw, body = matter.split(text)
    reading = _Reading(matter.parse(raw))
    family, lineage = reading.base()
    tags, is_mature = reading.tags()
    return Card(
        text=shown(body),
        family=family,
        lineage=lineage,
        trigger_words=reading.trigger_words("instance_prompt"),
        optional_trigger_words=reading.trigger_words(OPTIONAL_WORDS),
        tags=tags,
        licence=reading.licence(),
        is_mature=is_mature,
        warnings=tuple(reading.warnings),
    )


def shown(body: str) -> str:
    """Return the text of a card as the page shows it: cut, without control characters."""
    text = body[: adapters.LIMITS["card"]]
    if not has_control(text):
        return text
    return "".join(char for char in text if not has_control(char))


class _Reading:
    """The values of a front matter, with a warning for each invalid one."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.warnings: list[str] = []

    def _warn(self, key: str, reason: str) -> None:
        text = _("“%(key)s” was left out: %(reason)s.")
        self.warnings.append(text % {"key": key, "reason": reason})

    def _texts(self, key: str) -> list[str] | None:
        """Return the texts of a key, which has one text or a list; None if it is missing."""
        value = self.fields.get(key)
        if value is None:
            return None
        found = [" ".join(text.split()) for text in _words(value)]
        if not found and value not in ("", []):
            self._warn(key, _("it is not text"))
            return None
        return [text for text in found if text]

    def _text(self, key: str, most: int) -> str | None:
        """Return the first text of a key."""
        text = next(iter(self._texts(key) or ()), None)
        if text is not None and (len(text) > most or not text.isprintable()):
            self._warn(key, _("it has more than %(most)d printable characters") % {"most": most})
            return None
        return text

    def base(self) -> tuple[str | None, str | None]:
        """Return family and lineage of the base model."""
        name = self._text("base_model", 200)
        if name is None:
            return None, None
        claimed = claims_of({}, AdapterConfig.of({"base_model_name_or_path": name}))
        family = claimed.first.family if claimed.first else None
        lineage = claimed.lineage if claimed.lineage and len(claimed.lineage) <= 64 else None
        return (family if family in FAMILIES else None), lineage

    def trigger_words(self, key: str) -> tuple[str, ...] | None:
        """Return the trigger words of a key."""
        found = self._texts(key)
        if not found:
            return None
        try:
            details.check(Details(trigger_words=tuple(found)))
        except Invalid as fault:
            self._warn(key, str(fault.detail).rstrip("."))
            return None
        return tuple(found)

    def licence(self) -> str | None:
        """Return the id of the licence, or its name if it has no id."""
        most = adapters.LIMITS["licence"]
        found = self._text("license", most)
        if found is not None and found.casefold() == "other":
            return self._text("license_name", most) or found
        return found

    def tags(self) -> tuple[tuple[str, ...] | None, bool]:
        """Return the adapter's own tags, and whether ``NOT_FOR_ALL`` is set."""
        found = self._texts("tags")
        if found is None:
            return None, False
        words = list(dict.fromkeys(word.casefold() for word in found))
        own = [word for word in words if not is_generic_tag(word)]
        kept = [word for word in own if is_tag(word)]
        if invalid := [word for word in own if word not in kept]:
            self._warn("tags", _("“%(tag)s” is not a valid tag") % {"tag": invalid[0][:48]})
        if len(kept) > adapters.MAX_TAGS:
            text = _("there are more than %(most)d; only the first are used")
            self._warn("tags", text % {"most": adapters.MAX_TAGS})
        return tuple(kept[: adapters.MAX_TAGS]), NOT_FOR_ALL in words


def _words(value: object) -> Iterator[str]:
    """Yield the texts and numbers of a value or a list."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str | int | float) and not isinstance(each, bool):
            yield str(each)
