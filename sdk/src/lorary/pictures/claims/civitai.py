"""Reads lists of resources as Civitai writes them.

```
Civitai resources: [{"type": "lora", "weight": 0.8, "modelVersionId": 1, "modelName": "Noir",
                     "modelVersionName": "v2", "air": "urn:air:sdxl:lora:civitai:1@2"}]
civitaiResources: the same; resources: [{"type": "lora", "name": "noir", "weight": 1, "hash": "…"}]
hashes: {"lora:noir": "…", "model": "…"}
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from lorary.pictures.claims.facts import LORA_KINDS, Resource

MAX_ITEMS = 500

_AIR = re.compile(r"urn:air:[^:]{0,40}:([a-z]{1,24}):", re.IGNORECASE)
_NAMES = ("modelName", "name", "model_name")
_VERSIONS = ("modelVersionName", "versionName")
_HASHES = ("hash", "sha256", "autoV2", "autoV3", "SHA256", "AutoV2", "AutoV3")


def read(document: Any) -> list[Resource]:  # noqa: ANN401 - JSON
    """Return the resources of a list, or of an image's ``meta``; [] for anything else."""
    if isinstance(document, list):
        return [one for one in map(_resource, document[:MAX_ITEMS]) if one is not None]
    if not isinstance(document, dict):
        return []
    found: list[Resource] = []
    for key in ("resources", "civitaiResources", "Civitai resources", "additionalResources"):
        if isinstance(document.get(key), list):
            found += read(document[key])
    hashes = document.get("hashes")
    for key, digest in list(hashes.items())[:MAX_ITEMS] if isinstance(hashes, dict) else ():
        kind, _, name = key.rpartition(":")
        if kind.casefold() in LORA_KINDS and isinstance(digest, str):
            found.append(Resource(name, "lora", None, (digest,)))
    return found


def others(items: Sequence[Any], known: Sequence[Resource]) -> Iterator[Resource]:
    """Yield the resources of a list that a text does not name otherwise.

    Some tools write both: the names of the files with their hashes, and this list with the titles
    of the models. Then a title without a hash and with the weight of a file is that file.
    """
    hashed = {one.key for one in known if one.digits()}
    weights = [
        one.strength_or_none()
        for one in known
        if one.key in hashed and one.strength_or_none() is not None
    ]
    for one in read(list(items)):
        if one.group == "lora" and not one.digits() and one.strength_or_none() in weights:
            weights.remove(one.strength_or_none())
        else:
            yield one


def _resource(item: object) -> Resource | None:
    if not isinstance(item, dict):
        return None
    air = _text(item, ("air",))
    names = [_text(item, _NAMES), _text(item, _VERSIONS)]
    name = " ".join(text for text in names if text) or air or _number_of(item)
    named = _AIR.match(air)
    kind = str(item.get("type") or (named[1] if named else "lora"))
    strength = item.get("weight", item.get("strength"))
    return Resource(name, kind, strength, tuple(item.get(key) for key in _HASHES))


def _text(item: dict[str, Any], keys: Sequence[str]) -> str:
    return next((item[key] for key in keys if isinstance(item.get(key), str) and item[key]), "")


def _number_of(item: dict[str, Any]) -> str:
    """Return a name for a resource of which only the number is known."""
    number = item.get("modelVersionId", item.get("model_version_id"))
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return f"civitai:{number}" if is_number else ""
