"""Publishes the demo packs, ready-made looks of the demo adapters, through the usual services."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.models import Adapter, Pack, User
from registry.packs import publish as pack_versions
from registry.packs import services as packs

FAMILY = "miniature"
#: Name of the only variant.
VARIANT = "picture"

_FILE = Path(__file__).parent / "miniature" / "packs.toml"
_CARD = ("title", "kind", "summary", "tags")


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the entries of the demo packs by name, in the order of publication."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def publish(owner: User, *, say: Callable[[str], None] = lambda _text: None) -> int:
    """Publish demo packs that never had a version and whose parts can be had; return how many.

    Args:
        owner: The user of the demo adapters.
        say: Is called with a line for each pack.
    """
    new = 0
    current = Adapter.objects.filter(namespace=owner.namespace, latest_version__isnull=False)
    available = set(current.values_list("key", flat=True))
    for name, entry in catalogue().items():
        pack = Pack.objects.filter(namespace=owner.namespace, key=name).first()
        is_new = pack is None or not (pack.last_number or pack.withdrawn_reason)
        if is_new and available.issuperset(part["adapter"] for part in entry["parts"]):
            pack = pack or packs.create(actor=owner, name=name, **_card(entry))
            pack_versions.publish(actor=owner, pack=pack, manifest=_manifest(owner, entry))
            say(f"published pack {pack.full_name}")
            new += 1
    return new


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    return {field: entry[field] for field in _CARD}


def _manifest(owner: User, entry: dict[str, Any]) -> dict[str, Any]:
    prefix = owner.namespace.name
    parts = [{**part, "adapter": f"{prefix}/{part['adapter']}"} for part in entry["parts"]]
    variant = {"name": VARIANT, "family": FAMILY, "output": "image", "prompt": entry["prompt"]}
    return {"variants": [{**variant, "parts": parts}]}
