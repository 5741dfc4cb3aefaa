"""Reads ``parameters`` of A1111, Forge, SD.Next, Civitai and Lorary.

```
a prompt, <lora:noir:0.8>
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: 0123456789,
Model: base, Lora hashes: "noir: 0123456789ab", Hashes: {"lora:noir": "…"},
Civitai resources: [{"type": "lora", "weight": 0.8, "modelName": "Noir"}]
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from previews.sample_files.claims.facts import Facts, Resource

MAX_CHARS = 200_000

_SETTINGS = re.compile(r"^Steps: \d", re.MULTILINE)
_NEGATIVE = re.compile(r"^Negative prompt: ?", re.MULTILINE)
# Possessive quantifiers do not backtrack, so a long text needs little memory.
_SETTING = re.compile(r'\s{0,64}(\w[\w /-]{0,60}): {0,64}("(?:\\.|[^\\"])*+"|[^,\n]*+)(?:,|$|\n)')
_LORA = re.compile(r"<(?:lora|lyco|lycoris):([^:<>]{1,200}):(-?[0-9.]{1,12})[^<>]{0,60}>")
_JSON = {"Hashes": dict, "Civitai resources": list}


def read(text: str) -> Facts | None:
    """Return the facts in a text; None if it has another format."""
    text = text[:MAX_CHARS]
    starts = [match.start() for match in _SETTINGS.finditer(text)]
    if not starts:
        return None
    words, settings = text[: starts[-1]], text[starts[-1] :]
    prompt, _, negative = _halves(words)
    documents, settings = _documents(settings)
    values = {
        match[1].strip(): match[2].strip().strip('"') for match in _SETTING.finditer(settings)
    }
    width, _, height = values.get("Size", "").partition("x")
    return Facts(
        tool="a1111",
        prompt=prompt.strip(),
        negative=negative.strip(),
        seed=values.get("Seed"),
        steps=values.get("Steps"),
        sampler=" ".join(filter(None, (values.get("Sampler"), values.get("Schedule type")))),
        guidance=values.get("CFG scale"),
        width=width,
        height=height,
        model=values.get("Model", ""),
        resources=list(_resources(prompt, values, documents)),
    )


def _halves(words: str) -> tuple[str, str, str]:
    found = _NEGATIVE.search(words)
    if found is None:
        return words, "", ""
    return words[: found.start()], found[0], words[found.end() :]


def _documents(settings: str) -> tuple[dict[str, Any], str]:
    """Return the JSON values in the settings, and the settings without them."""
    documents: dict[str, Any] = {}
    for name, kind in _JSON.items():
        place = settings.find(f"{name}: ")
        if place < 0 or settings[place - 5 : place].endswith("Lora "):
            continue
        start = place + len(name) + 2
        try:
            value, length = json.JSONDecoder().raw_decode(settings[start:])
        except (ValueError, RecursionError):
            continue
        settings = settings[:place] + settings[start + length :]
        documents[name] = value if isinstance(value, kind) else None
    return documents, settings


def _resources(
    prompt: str, values: dict[str, str], documents: dict[str, Any]
) -> Iterator[Resource]:
    if values.get("Model") or values.get("Model hash"):
        yield Resource(values.get("Model", ""), "checkpoint", None, (values.get("Model hash"),))
    for match in _LORA.finditer(prompt):
        yield Resource(match[1], "lora", match[2])
    for pair in values.get("Lora hashes", "").split(","):
        name, _, digest = pair.rpartition(":")
        if name:
            yield Resource(name.strip(), "lora", None, (digest,))
    for key, digest in (documents.get("Hashes") or {}).items():
        kind, _, name = key.rpartition(":")
        if kind and isinstance(digest, str):
            yield Resource(name, "embedding" if kind.startswith("embed") else kind, None, (digest,))
    for item in documents.get("Civitai resources") or []:
        if isinstance(item, dict):
            yield _of_civitai(item)


def _of_civitai(item: dict[str, Any]) -> Resource:
    names = [item.get(key) for key in ("modelName", "modelVersionName")]
    name = " ".join(text for text in names if isinstance(text, str))
    digests = [item.get(key) for key in ("hash", "sha256", "autoV2", "autoV3")]
    return Resource(name, str(item.get("type", "lora")), item.get("weight"), tuple(digests))
