"""README.md and what an adapter says of itself are one thing seen twice: here, how one is read.

```
README.md front matter        adapter                     its offered version
license, license_name         licence
tags                          tags
base_model                                                declared family, lineage
instance_prompt                                           trigger words
text after the front matter   card
```

Everything else, ``widget`` too, stays in the file, which clients of the Hub read as it is. Values
that do not fit are left out and told as warnings; they never keep a file from being pushed.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.base_models import claims_of
from lorary.anatomy.claims.config import AdapterConfig
from registry import storage
from registry.adapters import services as adapters
from registry.cards import front_matter as matter
from registry.errors import Invalid
from registry.names import has_control
from registry.versions import contents, details
from registry.versions.details import Details

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Blob

NAME = contents.README
#: Tag by which people of the Hub mark what is not for everybody.
NOT_FOR_ALL = "not-for-all-audiences"
#: Longest README of which anything is read, in bytes; the rest of a longer one is in the file.
MAX_READ = 1024 * 1024

#: Tags that name a library or a task: programs add them by themselves, and they tell nobody much.
_PLUMBING = frozenset(
    {
        "diffusers", "diffusers-training", "image-to-image", "image-to-video", "lora", "peft",
        "pytorch", "safetensors", "stable-diffusion-diffusers", "text-to-image", "text-to-video",
        "transformers", NOT_FOR_ALL,
    }
)  # fmt: skip


def is_plumbing(tag: str) -> bool:
    """Whether a tag of a README is none of the adapter's: it names a library, a task, a trainer."""
    return tag.casefold() in _PLUMBING or ":" in tag


@dataclass(frozen=True, slots=True)
class Card:
    """What a README says that is understood here; None: it does not say.

    Attributes:
        text: What follows the front matter, as the page shows it.
        family: Base model that it names, by its id here.
        lineage: The checkpoint that it names.
        trigger_words: From ``instance_prompt``.
        tags: Without those of libraries.
        licence: Its id, or the name of another one.
        is_mature: It is marked as not for all audiences.
        warnings: A sentence for each value that was left out.
    """

    text: str = ""
    family: str | None = None
    lineage: str | None = None
    trigger_words: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    licence: str | None = None
    is_mature: bool = False
    warnings: tuple[str, ...] = ()

    def details(self, said: Details | None = None) -> Details:
        """Return what is said of a version, with what the card says in place of it."""
        said = said or Details()
        if self.family is not None:
            said = replace(said, declared_family=self.family)
        if self.lineage is not None:
            said = replace(said, lineage=self.lineage)
        if self.trigger_words is not None:
            said = replace(said, trigger_words=self.trigger_words)
        return said


def front_matter(text: str) -> dict[str, Any]:
    """Return the front matter of a README, ready for JSON; {} where it has none.

    Raises:
        Invalid: it is no YAML, or over a limit; the text names the line.
    """
    return matter.parse(matter.split(text)[0])


def decoded(data: bytes) -> str:
    """Return the beginning of a README as text, all of it up to ``MAX_READ`` bytes.

    Raises:
        Invalid: it is no UTF-8.
    """
    is_whole = len(data) <= MAX_READ
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data[:MAX_READ], final=is_whole)
    except UnicodeDecodeError as error:
        text = _("README.md is not UTF-8 text (byte %(at)d). Save it as UTF-8.")
        said = text % {"at": error.start}
        raise Invalid(said, fields={NAME: said}) from error


def read_blob(blob: Blob) -> Card:
    """Return what a stored README says.

    Raises:
        Invalid: see ``decoded`` and ``read``.
        FileNotFoundError: its bytes are gone.
    """
    return read(text_of(blob))


def text_of(blob: Blob) -> str:
    """Return the beginning of a stored README; raises as ``read_blob`` does."""
    with storage.store().open(blob.sha256) as handle:
        return decoded(handle.read(MAX_READ + 1))


def read(text: str) -> Card:
    """Return what a README says.

    Raises:
        Invalid: its front matter is no YAML, or over a limit.
    """
    raw, body = matter.split(text)
    reading = _Reading(matter.parse(raw))
    family, lineage = reading.base()
    tags, is_mature = reading.tags()
    return Card(
        text=shown(body),
        family=family,
        lineage=lineage,
        trigger_words=reading.trigger_words(),
        tags=tags,
        licence=reading.licence(),
        is_mature=is_mature,
        warnings=tuple(reading.warnings),
    )


def shown(body: str) -> str:
    """Return what follows a front matter as the page shows it: cut, no characters nobody sees."""
    text = body[: adapters.LIMITS["card"]]
    if not has_control(text):
        return text
    return "".join(char for char in text if not has_control(char))


class _Reading:
    """The values of a front matter, with a warning for each that does not fit."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.warnings: list[str] = []

    def _odd(self, key: str, reason: str) -> None:
        text = _("“%(key)s” was left out: %(reason)s.")
        self.warnings.append(text % {"key": key, "reason": reason})

    def _texts(self, key: str) -> list[str] | None:
        """Return the texts under a key, one or a list of them; None where there is nothing."""
        value = self.fields.get(key)
        if value is None:
            return None
        found = [" ".join(text.split()) for text in _words(value)]
        if not found and value not in ("", []):
            self._odd(key, _("it is no text"))
            return None
        return [text for text in found if text]

    def _text(self, key: str, most: int) -> str | None:
        """Return the first text under a key."""
        text = next(iter(self._texts(key) or ()), None)
        if text is not None and (len(text) > most or not text.isprintable()):
            self._odd(key, _("it has more than %(most)d printable characters") % {"most": most})
            return None
        return text

    def base(self) -> tuple[str | None, str | None]:
        """Return family and lineage of the base model that is named."""
        name = self._text("base_model", 200)
        if name is None:
            return None, None
        claimed = claims_of({}, AdapterConfig.of({"base_model_name_or_path": name}))
        family = claimed.first.family if claimed.first else None
        lineage = claimed.lineage if claimed.lineage and len(claimed.lineage) <= 64 else None
        return (family if family in FAMILIES else None), lineage

    def trigger_words(self) -> tuple[str, ...] | None:
        """Return the phrases that make the adapter act."""
        found = self._texts("instance_prompt")
        if not found:
            return None
        said = Details(trigger_words=tuple(found))
        try:
            details.check(said)
        except Invalid as fault:
            self._odd("instance_prompt", str(fault.detail).rstrip("."))
            return None
        return tuple(found)

    def licence(self) -> str | None:
        """Return the licence, by its own name where it is another than those with ids."""
        most = adapters.LIMITS["licence"]
        found = self._text("license", most)
        if found is not None and found.casefold() == "other":
            return self._text("license_name", most) or found
        return found

    def tags(self) -> tuple[tuple[str, ...] | None, bool]:
        """Return the tags, and whether one says that this is not for everybody."""
        found = self._texts("tags")
        if found is None:
            return None, False
        words = list(dict.fromkeys(word.casefold() for word in found))
        told = [word for word in words if not is_plumbing(word)]
        kept = [word for word in told if adapters.is_tag(word)]
        if odd := [word for word in told if word not in kept]:
            self._odd("tags", _("“%(tag)s” cannot be a tag") % {"tag": odd[0][:48]})
        if len(kept) > adapters.MAX_TAGS:
            text = _("there are more than %(most)d, the first count")
            self._odd("tags", text % {"most": adapters.MAX_TAGS})
        return tuple(kept[: adapters.MAX_TAGS]), NOT_FOR_ALL in words


def _words(value: object) -> Iterator[str]:
    """Yield the texts and numbers of a value or a list."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str | int | float) and not isinstance(each, bool):
            yield str(each)
