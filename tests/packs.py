"""Manifests of packs that tests begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.packs import publish, services
from tests import catalogue

if TYPE_CHECKING:
    from registry.models import Adapter, Pack, PackVersion, User


def part(adapter: Adapter | str, **more: Any) -> dict[str, Any]:
    """Return a part with the latest version of an adapter."""
    return {"adapter": str(adapter), "strength": 0.8, "role": "style", **more}


def variant(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a variant for Stable Diffusion 1."""
    return {
        "name": "sd1", "family": "sd1", "output": "image", "parts": list(parts),
        "prompt": "noir style, {prompt}, film grain", "negative": "blurry", **more,
    }  # fmt: skip


def manifest(*variants: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of some variants."""
    return {"variants": list(variants)}


def published(ada: User, *adapters: Adapter, name: str = "dusk", **card: Any) -> PackVersion:
    """Publish the first version of a new pack with some adapters."""
    pack: Pack = services.create(actor=ada, name=name, **card)
    document = manifest(variant(*map(part, adapters)))
    return publish.publish(actor=ada, pack=pack, manifest=document)


def release(adapter: Adapter, data: bytes) -> None:
    """Publish bytes as a version of an adapter."""
    catalogue.release(adapter, data)
