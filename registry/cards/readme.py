"""README.md as an adapter's fields make it.

A README that was pushed is read into the fields (``registry.cards.fields``). This is the way back:
of a README that is there only those values change that say something else; the rest of it,
``widget`` too, stays as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from lorary.anatomy import FAMILIES, family_title
from registry.cards import base_models, front_matter
from registry.cards import fields as card_fields
from registry.errors import Invalid
from registry.models import Maturity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registry.models import Adapter, Blob


def new_text(adapter: Adapter, card: Blob | None) -> str | None:
    """Return the new README of an adapter, None if the present one is right.

    Args:
        adapter: As it is, or as it will be.
        card: The README that is there.

    Raises:
        LoraryError, OSError: the one that is there cannot be read.
    """
    if card is None:
        return composed(adapter)
    if card.size_bytes > card_fields.MAX_READ:
        return None  # nobody reads all of it
    before = card_fields.text_of(card)
    text = changed(before, adapter)
    return text if text != before else None


def composed(adapter: Adapter) -> str:
    """Return the README of an adapter that has none."""
    return front_matter.patched(_body(adapter), front_matter_of(adapter))


def changed(before: str, adapter: Adapter) -> str:
    """Return a README with what is said now; one that says so already comes back as it is.

    So does one that cannot be read.
    """
    try:
        fields, said = card_fields.front_matter(before), card_fields.read(before)
    except Invalid:
        return before
    body = front_matter.split(before)[1]
    text = before
    if card_fields.shown(body) != _body(adapter):
        text = before.removesuffix(body) + _body(adapter)
    new = _differing(fields, said, adapter)
    new = {key: value for key, value in new.items() if fields.get(key) != value}
    return front_matter.patched(text, new) if new else text


def front_matter_of(adapter: Adapter) -> dict[str, Any]:
    """Return the front matter that the adapter's fields make."""
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
    return found


def _differing(
    fields: Mapping[str, Any], said: card_fields.Card, adapter: Adapter
) -> dict[str, Any]:
    """Return the values that say what the adapter says otherwise; None: not any more."""
    now, version = front_matter_of(adapter), adapter.latest_version
    new: dict[str, Any] = {}
    if (said.licence or "").casefold() != adapter.licence.casefold():
        new |= {"license": now.get("license"), "license_name": None, "license_link": None}
    tags = {tag.name for tag in adapter.tags.all() if not card_fields.is_plumbing(tag.name)}
    least = Maturity.GENERAL if said.is_mature else Maturity.SUGGESTIVE
    is_mature = adapter.maturity not in {Maturity.GENERAL, least}
    if set(said.tags or ()) != tags or said.is_mature != is_mature:
        gone = {*(said.tags or ()), card_fields.NOT_FOR_ALL}
        kept = [tag for tag in _listed(fields.get("tags")) if _folded(tag) not in gone]
        marked = [card_fields.NOT_FOR_ALL] if is_mature else []
        new["tags"] = [*kept, *marked, *sorted(tags)] or None
    if version is not None and list(said.trigger_words or ()) != list(version.trigger_words):
        new["instance_prompt"] = now.get("instance_prompt")
    if not _is_base_said(fields, said, adapter):
        new |= {"base_model": now.get("base_model"), "pipeline_tag": now["pipeline_tag"]}
    return new


def _is_base_said(fields: Mapping[str, Any], said: card_fields.Card, adapter: Adapter) -> bool:
    """Whether a README names the adapter's base model, or one that nobody here knows."""
    names = [str(name) for name in _listed(fields.get("base_model"))]
    if not names:
        return not base_models.base_model(adapter.family, adapter.lineage)
    if names[0].casefold() == base_models.base_model(adapter.family, adapter.lineage).casefold():
        return True
    if said.family is None:
        return True
    return said.family == adapter.family and adapter.lineage in {"", said.lineage}


def _listed(value: object) -> list[object]:
    """Return a value that may be one or a list of them as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _folded(tag: object) -> str:
    return " ".join(str(tag).split()).casefold()


def _body(adapter: Adapter) -> str:
    """Return the text of a card nobody wrote: what the fields say."""
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
    if version.strength is not None:
        low, high = version.strength_min, version.strength_max
        limits = f" ({low:g} … {high:g})" if low is not None and high is not None else ""
        yield f"- {_('Strength')}: {version.strength:g}{limits}"
    yield ""


def _code(word: str) -> str:
    """Return a word as Markdown's code, whatever it has in it."""
    fence = "`"
    while fence in word:
        fence += "`"
    pad = " " if word.startswith("`") or word.endswith("`") else ""
    return f"{fence}{pad}{word}{pad}{fence}"
