"""Versions of packs as the API has them, for tests without a hub."""

from __future__ import annotations

from typing import Any

from lorary.client.packs import PackVersion
from lorary.exports import Look, look_of

TEMPLATE = 'noir (dark), {prompt}, "grain" [x] \\o/ {y} <b>'


def part(name: str = "noir", **more: Any) -> dict[str, Any]:
    """Return a part; its digest depends on its name."""
    return {
        "adapter": f"studio/{name}", "version": "v1", "file": "pytorch_lora_weights.safetensors",
        "sha256": name.encode().hex().ljust(64, "0"), "size": 9, "strength": 0.8, "role": "style",
        "trigger_words": ["noir"], "state": "available", "reason": "", **more,
    }  # fmt: skip


def variant(name: str = "main", *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a variant, with two parts if none are given."""
    return {
        "name": name, "family": "sdxl", "output": "image", "complete": True, "prompt": TEMPLATE,
        "negative": "blurry (soft)", "settings": {"steps": 20}, "tested_with": {},
        "rendered_with": {
            "base": "", "steps": 20, "guidance": 6.0, "width": 1024, "height": 768, "frames": 0,
            "fps": 0, "negative": "blurry (soft)", "sampler": "", "arguments": {},
        },
        "parts": list(parts) or [part(), part("dusk", strength=-0.25, role="lighting")], **more,
    }  # fmt: skip


def version(*variants: dict[str, Any], **more: Any) -> PackVersion:
    """Return a version of a pack."""
    document = {
        "pack": "studio/dusk", "version": "v2", "state": "published", "reason": "",
        "manifest": {}, "manifest_sha256": "0" * 64, "notes": "", "url": "",
        "variants": list(variants) or [variant()], **more,
    }  # fmt: skip
    return PackVersion.read(document)


def look(*parts: dict[str, Any], **more: Any) -> Look:
    """Return a variant as exports have it."""
    return look_of(version(variant("main", *parts, **more)))
