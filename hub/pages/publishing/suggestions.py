"""Initial values of the publish form: read from the file, or guessed and easy to change."""

from __future__ import annotations

import re
from itertools import chain, count
from typing import Any

from django.utils.translation import gettext as _

from hub.pages.adapters.base_model_panel import lineage_of
from hub.pages.adapters.version_forms import LICENCES
from hub.pages.labels import family_label
from hub.pages.publishing import header_preview
from hub.pages.publishing.header_preview import Document, Proof, Reading, Word
from lorary.client.names import is_tag
from registry.blobs.anatomies import claimed_family
from registry.models import Adapter, AdapterName, Kind, User, Version
from registry.names import MAX_NAME, is_device, key_of

#: Words in names and titles that indicate the type of an adapter; the first one found decides.
_KINDS = {
    Kind.CHARACTER: "character person portrait face girl boy woman man hero",
    Kind.CLOTHING: "clothing clothes outfit dress uniform costume armor armour",
    Kind.POSE: "pose poses posture gesture",
    Kind.LIGHTING: "light lighting backlight shadow shadows",
    Kind.OBJECT: "object item vehicle car weapon product",
    Kind.TOOL: "slider detail detailer details enhancer turbo lightning lcm dmd hyper distill",
    Kind.CONCEPT: "concept action expression",
}
_WORD = re.compile(r"[a-z]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def suggest(user: User, reading: Reading, target: Adapter | None) -> dict[str, Any]:
    """Return the initial values of the form.

    Args:
        user: The user who publishes; the suggested name is free in their namespace.
        target: The adapter of a new version, None for a new adapter.
    """
    document = reading.document
    if not document:
        return {}
    latest = target.latest_version if target else None
    notes, base = document["metadata"], document["base"]
    best = notes["recommended_strength"]
    title, name = _names(user, reading)
    return {
        "title": title,
        "name": name,
        "summary": (notes["description"] or "").split("\n", 1)[0][:280],
        "kind": kind_of(reading)[0],
        "licence": licence_of(notes["license"]),
        "maturity": "general",
        "visibility": "public",
        "family": _family_of(base, latest),
        "lineage": lineage_of(base)[:64],
        "optional_trigger_words": "\n".join(latest.optional_trigger_words) if latest else "",
        "strength": latest.strength if latest and best is None else best,
        "strength_min": latest.strength_min if latest else None,
        "strength_max": latest.strength_max if latest else None,
    }


def _names(user: User, reading: Reading) -> tuple[str, str]:
    """Return title and address: those of the file, or those of the base model with a number."""
    title = header_preview.title_of(reading.path, reading.document)
    name = header_preview.address_of(reading.path, reading.document)
    if title:
        return title, free_name(user, name or header_preview.slug(title))
    base = reading.document["base"]
    family = base["family"] or base["likely"] or ""
    title = _("%(family)s LoRA") % {"family": family_label(family)} if family else _("Adapter")
    name = header_preview.slug(title).lower()
    free = free_name(user, name)
    number = free.removeprefix(f"{name}-") if free != name else ""
    return f"{title} {number}".strip(), free


def free_name(user: User, wanted: str) -> str:
    """Return the name, with a number if the user has or had an adapter with that name."""
    name = wanted.removesuffix(".git") or "adapter"
    if is_device(name):
        name = f"adapter-{name}"[:MAX_NAME]
    names = AdapterName.objects.filter(namespace=user.namespace, key__startswith=key_of(name)[:80])
    taken = set(names.values_list("key", flat=True))
    numbered = (f"{name[: MAX_NAME - 6].rstrip('-.')}-{n}" for n in count(2))
    return next(one for one in chain([name], numbered) if key_of(one) not in taken)


def kind_of(reading: Reading) -> tuple[str, str]:
    """Return the type indicated by a word of the file's name or title, and that word.

    Without such a word the kind is style, the most frequent one.
    """
    title = header_preview.title_of(reading.path, reading.document)
    words = set(_WORD.findall(_HUMP.sub(" ", f"{reading.path} {title}").casefold()))
    known = [
        (Kind.STYLE, "style"),
        *((kind, word) for kind in _KINDS for word in _KINDS[kind].split()),
    ]
    return next(((kind, word) for kind, word in known if word in words), (Kind.STYLE, ""))


def kind_proof(reading: Reading) -> Proof:
    """Return the source of the kind."""
    _kind, word = kind_of(reading)
    if word:
        return Proof("claimed", _("From the name"), f"“{word}”")
    text = _("Style is selected because most adapters are styles.")
    return Proof("declared", _("Not in the file"), text)


def tags_of(reading: Reading) -> list[Word]:
    """Return what can be tags of the adapter: the author's tags, then frequent ones of captions."""
    own = (reading.document.get("metadata") or {}).get("tags") or ()
    frequent = reading.document.get("common_tags") or ()
    notes = dict.fromkeys(own, _("tag of the file"))
    for tag in frequent:
        notes.setdefault(tag["text"], f"{tag['share']:.0%}")
    return [Word(text, note, text in own) for text, note in notes.items() if is_tag(text)]


def licence_of(claimed: str | None) -> str:
    """Return the licence choice that the metadata names; "" if it names none of them."""
    wanted = (claimed or "").strip().casefold()
    return next((value for value, _label in LICENCES if value and value.casefold() == wanted), "")


def _family_of(base: Document, latest: Version | None) -> str:
    """Return the base model to select: the previous version's if it fits, or the likely one.

    A proven or stated base model is not selected: the field shows it as read from the file.
    """
    if not base["likely"]:
        return ""
    before, stated = latest.family if latest else "", claimed_family(base)
    if before in base["candidates"]:
        return "" if before == stated else before
    return "" if stated else str(base["likely"])
