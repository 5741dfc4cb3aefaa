"""All that a file claims: the first tool whose form is found is believed to have written it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from PIL import Image

from previews.sample_files.claims import a1111, comfyui
from previews.sample_files.claims.facts import Facts, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["gather"]


def gather(texts: Mapping[str, str], exif: bytes = b"") -> dict[str, Any]:
    """Return facts, {} where nothing is claimed.

    Args:
        texts: By keyword, as PNG has them.
        exif: TIFF structure, whose texts count where the file itself has none.
    """
    found = _read({**(_exif_texts(exif) if exif else {}), **texts})
    return found.to_dict() if found else {}


def _read(texts: Mapping[str, str]) -> Facts | None:
    told = {name: texts.get(name, "") for name in ("lorary", "invokeai_metadata", "parameters")}
    graph = {name: texts.get(name, "") for name in ("prompt", "workflow")} | _nested(
        texts.get("comment", ""), told["parameters"]
    )
    return (
        (_lorary(told["lorary"]) if told["lorary"] else None)
        or (_invokeai(told["invokeai_metadata"]) if told["invokeai_metadata"] else None)
        or a1111.read(told["parameters"])
        or comfyui.read(graph["prompt"], graph["workflow"])
    )


def _nested(*texts: str) -> dict[str, str]:
    """Return a graph that lies in a table: videos have it in their comment, some JPEGs as well."""
    for text in texts:
        try:
            said = json.loads(text) if text.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict):
            parts = {name: said[name] for name in ("prompt", "workflow") if name in said}
            if not parts:
                return {"prompt": text}
            return {k: v if isinstance(v, str) else json.dumps(v) for k, v in parts.items()}
    return {}


_MAKE, _MODEL, _DESCRIPTION = 0x010F, 0x0110, 0x010E
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_NAMED = re.compile(r"\s{0,64}(prompt|workflow)\s{0,64}:\s{0,64}(?=\{)", re.IGNORECASE)


def _exif_texts(exif: bytes) -> dict[str, str]:
    """Return texts by the keywords that a PNG would have them under."""
    said = Image.Exif()
    try:
        said.load(exif)
        fields = [said.get(tag) for tag in (_MODEL, _MAKE, _DESCRIPTION)]
        comment = said.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
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
    """Return which UTF-16 it is: what Latin letters have in front is a zero, or behind."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = text[:512]
    return "utf-16-le" if start[1::2].count(0) >= start[::2].count(0) else "utf-16-be"


def _invokeai(text: str) -> Facts | None:
    """Return what the table says, None where it is none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    name, digests = _named(said.get("model"))
    return Facts(
        tool="invokeai",
        prompt=said.get("positive_prompt"),
        negative=said.get("negative_prompt"),
        seed=said.get("seed"),
        steps=said.get("steps"),
        sampler=said.get("scheduler"),
        guidance=said.get("cfg_scale", said.get("guidance")),
        width=said.get("width"),
        height=said.get("height"),
        model=name,
        resources=[Resource(name, "checkpoint", None, digests), *_loras(said.get("loras"))],
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
    """Return what the document says, None where it is none."""
    try:
        said = json.loads(text)
        recipe, image = dict(said["recipe"]), dict(said["image"])
        adapters = [_lorary_adapter(dict(item)) for item in said.get("adapters", [])]
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


def _lorary_adapter(item: dict[str, Any]) -> Resource:
    return Resource(str(item.get("name", "")), "lora", item.get("strength"), (item.get("sha256"),))
