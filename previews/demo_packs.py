"""Publishes the demo packs, ready-made looks of the demo adapters, through the usual services."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.models import Adapter, Pack, User, VersionState
from registry.packs import publish as pack_versions
from registry.packs import services as packs

FAMILY = "miniature"
#: Names of the variants: every pack has the first, those with ``moving = true`` also the second.
PICTURE, MOVING = "picture", "moving"

_FILE = Path(__file__).parent / "miniature" / "packs.toml"
_CARD = ("title", "kind", "summary", "tags")


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the entries of the demo packs by name, in the order of publication."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def publish(owner: User, *, say: Callable[[str], None] = lambda _text: None) -> int:
    """Publish new demo packs, and those that have new parts or strengths; return how many.

    A pack needs all its parts. One that was withdrawn, yanked or edited by others stays as it is.

    Args:
        owner: The user of the demo adapters.
        say: Is called with a line for each pack.
    """
    new = 0
    current = Adapter.objects.filter(namespace=owner.namespace, latest_version__isnull=False)
    available = set(current.values_list("key", flat=True))
    for name, entry in catalogue().items():
        if not available.issuperset(part["adapter"] for part in entry["parts"]):
            continue
        pack = Pack.objects.filter(namespace=owner.namespace, key=name).first()
        if pack is None:
            pack = packs.create(actor=owner, name=name, **_card(entry))
        if _may_publish(pack, owner):
            manifest = _manifest(owner, entry)
            version = pack_versions.publish(actor=owner, pack=pack, manifest=manifest)
            if version.is_new:
                say(f"published pack {pack.full_name}@{version.name}")
                new += 1
    return new


def _may_publish(pack: Pack, owner: User) -> bool:
    """Whether the pack has no version, or its newest is the demo's and was not taken back."""
    newest = pack.versions.order_by("-number").first()
    is_demo = newest is None or (
        newest.state == VersionState.PUBLISHED and newest.author_id == owner.pk
    )
    return is_demo and not pack.withdrawn_reason


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    return {field: entry[field] for field in _CARD}


def _manifest(owner: User, entry: dict[str, Any]) -> dict[str, Any]:
    prefix = owner.namespace.name
    parts = [{**part, "adapter": f"{prefix}/{part['adapter']}"} for part in entry["parts"]]
    look = {"family": FAMILY, "prompt": entry["prompt"], "parts": parts}
    variants = [{"name": PICTURE, "output": "image", **look}]
    if entry.get("moving", False):
        variants.append({"name": MOVING, "output": "video", **look})
    return {"variants": variants}
