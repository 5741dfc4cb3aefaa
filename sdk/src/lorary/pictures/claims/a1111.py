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

from lorary.pictures.claims import civitai
from lorary.pictures.claims.facts import Facts, Resource

MAX_CHARS = 200_000

_SETTINGS = re.compile(r"^Steps: \d", re.MULTILINE)
_NEGATIVE = re.compile(r"^Negative prompt: ?", re.MULTILINE)
_KEY = re.compile(r"\s{0,64}(\w[\w /-]{0,60}): {0,64}")
_END = re.compile(r"[,\n]")
_LORA = re.compile(r"<(?:lora|lyco|lycoris):([^:<>]{1,200})(?::([^<>]{0,80}))?>", re.IGNORECASE)
_NUMBER = re.compile(r"-?(?:[0-9]{1,6}\.?[0-9]{0,6}|\.[0-9]{1,6})\Z")
#: Settings that are prompts of their own.
_MORE_PROMPTS = ("Hires prompt", "ADetailer prompt", "ADetailer prompt 2nd")
_MAX_NETWORKS = 5
#: Backslashes before a quote that are counted.
_MAX_ESCAPES = 64
_JSON = {"Hashes": dict, "Civitai resources": list, "Civitai metadata": dict}


def read(text: str) -> Facts | None:
    """Return the facts in a text; None if it has another format."""
    text = text[:MAX_CHARS]
    starts = [match.start() for match in _SETTINGS.finditer(text)]
    if not starts:
        return None
    words, settings = text[: starts[-1]], text[starts[-1] :]
    prompt, _, negative = _halves(words)
    documents, settings = _documents(settings)
    values = dict(_settings(settings))
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


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each setting; a value in quotes may contain commas."""
    place = 0
    while match := _KEY.search(text, place):
        start = match.end()
        end = _end_of_quoted(text, start) if text.startswith('"', start) else -1
        if end < 0:
            found = _END.search(text, start)
            end = found.start() if found else len(text)
        yield match[1].strip(), text[start:end].strip().strip('"')
        place = end


def _end_of_quoted(text: str, start: int) -> int:
    """Return the end of a text in quotes, in which a backslash precedes a quote; -1 without one."""
    place = start
    while (place := text.find('"', place + 1)) >= 0:
        before = text[max(start + 1, place - _MAX_ESCAPES) : place]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return place + 1
    return -1


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


def tags(prompt: str) -> Iterator[Resource]:
    """Yield the adapters of ``<lora:noir:0.8>`` and its variants in a prompt.

    ``<lora:noir>`` has strength 1; ``<lora:noir:0.8:0.6>`` has two, for the text encoder and for
    the denoiser; ``unet=0.6`` names the one for the denoiser.
    """
    for match in _LORA.finditer(prompt[:MAX_CHARS]):
        yield Resource(match[1].strip(), "lora", _strength(match[2]))


def _strength(arguments: str | None) -> str | None:
    if arguments is None:
        return "1"
    parts = [part.strip() for part in arguments.split(":")]
    named = [part.removeprefix("unet=") for part in parts if part.startswith("unet=")]
    return next((part for part in [*named, *parts] if _NUMBER.match(part)), None)


def _resources(
    prompt: str, values: dict[str, str], documents: dict[str, Any]
) -> Iterator[Resource]:
    if values.get("Model") or values.get("Model hash"):
        yield Resource(values.get("Model", ""), "checkpoint", None, (values.get("Model hash"),))
    prompts = [prompt, *(values.get(name, "") for name in _MORE_PROMPTS)]
    loras = [one for text in prompts for one in tags(text)]
    loras += _of_pairs(values.get("Lora hashes", ""))
    for key, digest in (documents.get("Hashes") or {}).items():
        kind, _, name = key.rpartition(":")
        if kind and isinstance(digest, str):
            loras.append(
                Resource(name, "embedding" if kind.startswith("embed") else kind, None, (digest,))
            )
    loras += _of_networks(values)
    yield from loras
    yield from civitai.others(documents.get("Civitai resources") or [], loras)


def _of_pairs(text: str) -> Iterator[Resource]:
    """Yield the resources of ``noir: 0123456789ab, ink: …``."""
    for pair in text.split(","):
        name, _, digest = pair.rpartition(":")
        if name:
            yield Resource(name.strip(), "lora", None, (digest,))


def _of_networks(values: dict[str, str]) -> Iterator[Resource]:
    """Yield the resources of the extension Additional Networks."""
    for number in range(1, _MAX_NETWORKS + 1):
        model = values.get(f"AddNet Model {number}", "")
        is_on = values.get("AddNet Enabled", "True") == "True" and model not in {"", "None"}
        if is_on and values.get(f"AddNet Module {number}", "LoRA") == "LoRA":
            name, _, digest = model.rstrip(")").rpartition("(")
            strength = values.get(f"AddNet Weight A {number}")
            yield Resource(name or digest, "lora", strength, (digest,) if name else ())
