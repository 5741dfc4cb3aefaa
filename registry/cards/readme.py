"""Writes README.md from the fields of an adapter.

``registry.cards.fields`` reads a pushed README into the fields. In this direction, only values that
differ from the fields are changed in an existing README; the rest, such as ``widget``, stays as it
was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES, family_title
from registry.cards import base_models, front_matter
from registry.cards import fields as card_fields
from registry.errors import Invalid
from registry.models import Adapter, Blob, Maturity


def new_text(adapter: Adapter, card: Blob | None) -> str | None:
    """Return the new README of an adapter, None if the existing one is up to date.

    Raises:
        LoraryError, OSError: the existing one cannot be read.
    """
    if card is None:
        return composed(adapter)
    if card.size_bytes > card_fields.MAX_READ:
        return None  # it is not read completely
    before = card_fields.text_of(card)
    text = changed(before, adapter)
    return text if text != before else None


def composed(adapter: Adapter) -> str:
    """Return a new README."""
    return front_matter.patched(_body(adapter), front_matter_of(adapter))


def changed(before: str, adapter: Adapter) -> str:
    """Return an existing README with the adapter's values; unchanged if it cannot be read."""
    try:
        fields, card = card_fields.front_matter(before), card_fields.read(before)
    except Invalid:
        return before
    body = front_matter.split(before)[1]
    text = before
    if card_fields.shown(body) != _body(adapter):
        text = before.removesuffix(body) + _body(adapter)
    new = _differing(fields, card, adapter)
    new = {key: value for key, value in new.items() if fields.get(key) != value}
    return front_matter.patched(text, new) if new else text


def front_matter_of(adapter: Adapter) -> dict[str, Any]:
    """Return the front matter for the adapter's fields."""
    version, tags = adapter.latest_version, sorted(tag.name for tag in adapter.tags.all())
    mature = [card_fields.NOT_FOR_ALL] if adapter.maturity == Maturity.MATURE else []
    found: dict[str, Any] = {
        "library_name": "diffusers",
        "pipeline_tag": base_models.pipeline_of(adapter.family),
        "tags": list(dict.fromkeys(["lora", "diffusers", *mature, *tags])),
    }
    if base := base_models.base_model(adapter.family, adapter.lineage):
        found["base_model"] = base
    if adapter.licence:
        found["license"] = adapter.licence.casefold()
    if version is not None and version.trigger_words:
        words = version.trigger_words
        found["instance_prompt"] = words[0] if len(words) == 1 else list(words)
    if version is not None and version.optional_trigger_words:
        found[card_fields.OPTIONAL_WORDS] = list(version.optional_trigger_words)
    return found


def _differing(
    fields: Mapping[str, Any], card: card_fields.Card, adapter: Adapter
) -> dict[str, Any]:
    """Return the front matter's values that must change; None deletes one."""
    now, version = front_matter_of(adapter), adapter.latest_version
    new: dict[str, Any] = {}
    if (card.licence or "").casefold() != adapter.licence.casefold():
        new |= {"license": now.get("license"), "license_name": None, "license_link": None}
    tags = {tag.name for tag in adapter.tags.all() if not card_fields.is_generic_tag(tag.name)}
    least = Maturity.GENERAL if card.is_mature else Maturity.SUGGESTIVE
    is_mature = adapter.maturity not in {Maturity.GENERAL, least}
    if set(card.tags or ()) != tags or card.is_mature != is_mature:
        gone = {*(card.tags or ()), card_fields.NOT_FOR_ALL}
        kept = [tag for tag in _listed(fields.get("tags")) if _folded(tag) not in gone]
        marked = [card_fields.NOT_FOR_ALL] if is_mature else []
        new["tags"] = [*kept, *marked, *sorted(tags)] or None
    if version is not None and list(card.trigger_words or ()) != list(version.trigger_words):
        new["instance_prompt"] = now.get("instance_prompt")
    if version is not None and list(card.optional_trigger_words or ()) != list(
        version.optional_trigger_words
    ):
        new[card_fields.OPTIONAL_WORDS] = now.get(card_fields.OPTIONAL_WORDS)
    if not _has_base_model(fields, card, adapter):
        new |= {"base_model": now.get("base_model"), "pipeline_tag": now["pipeline_tag"]}
    return new


def _has_base_model(fields: Mapping[str, Any], card: card_fields.Card, adapter: Adapter) -> bool:
    """Whether a README has the adapter's base model, or an unknown one."""
    names = [str(name) for name in _listed(fields.get("base_model"))]
    if not names:
        return not base_models.base_model(adapter.family, adapter.lineage)
    if names[0].casefold() == base_models.base_model(adapter.family, adapter.lineage).casefold():
        return True
    if card.family is None:
        return True
    return card.family == adapter.family and adapter.lineage in {"", card.lineage}


def _listed(value: object) -> list[object]:
    """Return one value or a list of values as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _folded(tag: object) -> str:
    return " ".join(str(tag).split()).casefold()


def _body(adapter: Adapter) -> str:
    """Return the card's text, or one made from the fields."""
    return adapter.card or "\n".join(_lines(adapter))


def _lines(adapter: Adapter) -> Iterator[str]:
    yield f"# {adapter.title or adapter.name}"
    yield ""
    if adapter.summary:
        yield adapter.summary
        yield ""
    version = adapter.latest_version
    if version is None:
        return
    if adapter.family in FAMILIES:
        yield f"- {_('Base model')}: {adapter.lineage or family_title(adapter.family)}"
    if version.trigger_words:
        words = ", ".join(_code(word) for word in version.trigger_words)
        yield f"- {_('Trigger words')}: {words}"
    if version.optional_trigger_words:
        words = ", ".join(_code(word) for word in version.optional_trigger_words)
        yield f"- {_('Optional trigger words')}: {words}"
    if version.strength is not None:
        low, high = version.strength_min, version.strength_max
        limits = f" ({low:g} … {high:g})" if low is not None and high is not None else ""
        yield f"- {_('Strength')}: {version.strength:g}{limits}"
    yield ""


def _code(word: str) -> str:
    """Return a word as Markdown code, even if it contains backticks."""
    fence = "`"
    while fence in word:
        fence += "`"
    pad = " " if word.startswith("`") or word.endswith("`") else ""
    return f"{fence}{pad}{word}{pad}{fence}"
