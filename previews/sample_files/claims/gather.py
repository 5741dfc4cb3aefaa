"""Reads the claims of a file from texts of a PNG, Exif or a video, in the first known format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from previews.sample_files.claims import a1111, comfyui
from previews.sample_files.claims.facts import Facts, Resource


def gather(texts: Mapping[str, str], exif: bytes = b"") -> dict[str, Any]:
    """Return the facts that a file claims; its own ``texts`` take precedence over those in Exif."""
    found = _read({**(_exif_texts(exif) if exif else {}), **texts})
    return found.to_dict() if found else {}


def _read(texts: Mapping[str, str]) -> Facts | None:
    known = {name: texts.get(name, "") for name in ("lorary", "invokeai_metadata", "parameters")}
    graph = {name: texts.get(name, "") for name in ("prompt", "workflow")} | _nested(
        texts.get("comment", ""), known["parameters"]
    )
    return (
        (_lorary(known["lorary"]) if known["lorary"] else None)
        or (_invokeai(known["invokeai_metadata"]) if known["invokeai_metadata"] else None)
        or a1111.read(known["parameters"])
        or comfyui.read(graph["prompt"], graph["workflow"])
    )


def _nested(*texts: str) -> dict[str, str]:
    """Return a graph from a JSON table, which videos and some JPEGs have in a comment."""
    for text in texts:
        try:
            document = json.loads(text) if text.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            parts = {name: document[name] for name in ("prompt", "workflow") if name in document}
            if not parts:
                return {"prompt": text}
            return {k: v if isinstance(v, str) else json.dumps(v) for k, v in parts.items()}
    return {}


_MAKE, _MODEL, _DESCRIPTION = 0x010F, 0x0110, 0x010E
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_NAMED = re.compile(r"\s{0,64}(prompt|workflow)\s{0,64}:\s{0,64}(?=\{)", re.IGNORECASE)


def _exif_texts(exif: bytes) -> dict[str, str]:
    """Return the texts in Exif, by the keywords of PNG.

    A1111 writes ``parameters`` as UserComment, after 8 bytes for the encoding; UTF-16 occurs in
    either byte order. ComfyUI writes ``prompt:{…}`` and ``workflow:{…}`` into make and model.
    Source: Exif 2.32 §4.6.5.
    """
    data = Image.Exif()
    try:
        data.load(exif)
        fields = [data.get(tag) for tag in (_MODEL, _MAKE, _DESCRIPTION)]
        comment = data.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return {}
    texts: dict[str, str] = {}
    for text in [one for one in fields if isinstance(one, str)]:
        if named := _NAMED.match(text):
            texts.setdefault(named[1].casefold(), text[named.end() :].rstrip("\0 "))
    if isinstance(comment, bytes | str):
        texts["parameters"] = comment if isinstance(comment, str) else _decoded(comment)
    return texts


def _decoded(comment: bytes) -> str:
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        return text.decode(_order(text), "replace").strip("\ufeff\0 ")
    if code not in {b"ASCII\0\0\0", b"\0" * 8}:
        text = comment
    return text.decode("utf-8", "replace").strip("\0 ")


def _order(text: bytes) -> str:
    """Return the byte order of UTF-16, by the position of zeros in Latin text."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = text[:512]
    return "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"


def _invokeai(text: str) -> Facts | None:
    """Return the facts of ``invokeai_metadata``, a JSON table; None if it is not one."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    name, digests = _named(document.get("model"))
    return Facts(
        tool="invokeai",
        prompt=document.get("positive_prompt"),
        negative=document.get("negative_prompt"),
        seed=document.get("seed"),
        steps=document.get("steps"),
        sampler=document.get("scheduler"),
        guidance=document.get("cfg_scale", document.get("guidance")),
        width=document.get("width"),
        height=document.get("height"),
        model=name,
        resources=[Resource(name, "checkpoint", None, digests), *_loras(document.get("loras"))],
    )


def _named(model: object) -> tuple[str, tuple[object, ...]]:
    if not isinstance(model, dict):
        return (model if isinstance(model, str) else ""), ()
    name = model.get("name", model.get("model_name"))
    return (name if isinstance(name, str) else ""), (model.get("hash"),)


def _loras(found: Any) -> Iterator[Resource]:  # noqa: ANN401 - JSON
    for item in found if isinstance(found, list) else []:
        if isinstance(item, dict):
            name, digests = _named(item.get("model", item.get("lora")))
            yield Resource(name, "lora", item.get("weight"), digests)


def _lorary(text: str) -> Facts | None:
    """Return the facts of the ``lorary`` document; None if it is not one."""
    try:
        document = json.loads(text)
        recipe, image = dict(document["recipe"]), dict(document["image"])
        adapters = [
            Resource(str(one.get("name", "")), "lora", one.get("strength"), (one.get("sha256"),))
            for one in map(dict, document.get("adapters", []))
        ]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return Facts(
        tool="lorary",
        prompt=image.get("prompt"),
        negative=recipe.get("negative"),
        seed=image.get("seed"),
        steps=recipe.get("steps"),
        sampler=recipe.get("sampler"),
        guidance=recipe.get("guidance"),
        width=recipe.get("width"),
        height=recipe.get("height"),
        model=recipe.get("base"),
        resources=adapters,
    )
