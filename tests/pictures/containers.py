"""Puts texts into pictures, videos and files, as the tools do."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable

Texts = dict[str, str]


def png(texts: Texts) -> bytes:
    chunks = [files.chunk(b"tEXt", f"{key}\0{text}".encode()) for key, text in texts.items()]
    return files.png(*chunks)


def packed_png(texts: Texts) -> bytes:
    return files.png(
        *(files.chunk(b"zTXt", f"{key}\0\0".encode() + zlib.compress(text.encode()))
          for key, text in texts.items())
    )  # fmt: skip


def international_png(texts: Texts) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text, zip=len(text) > 1000)
    return files.encoded(files.photo(8, 8), "PNG", pnginfo=info)


def _exif(texts: Texts) -> bytes:
    exif = Image.Exif()
    if "parameters" in texts:
        text = b"UNICODE\0" + texts["parameters"].encode("utf-16-be")
        exif.get_ifd(0x8769)[0x9286] = text
    else:
        for tag, key in ((0x0110, "prompt"), (0x010F, "workflow")):
            if key in texts:
                exif[tag] = f"{key}:{texts[key]}"
    return exif.tobytes()


def webp(texts: Texts) -> bytes:
    return files.encoded(files.photo(8, 8), "WEBP", exif=_exif(texts))


def jpeg(texts: Texts) -> bytes:
    return files.encoded(files.photo(8, 8), "JPEG", exif=_exif(texts))


def _box(letters: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + letters + body


def _data(text: str) -> bytes:
    return _box(b"data", b"\0\0\0\1\0\0\0\0", text.encode())


def _mp4(*moov: bytes) -> bytes:
    head = _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    return head + _box(b"free", b"") + _box(b"mdat", b"\0" * 64) + _box(b"moov", *moov)


def mp4(texts: Texts) -> bytes:
    """As ComfyUI writes it: each text under its own key."""
    keys = [_box(b"mdta", key.encode()) for key in texts]
    items = [
        _box((number + 1).to_bytes(4, "big"), _data(text))
        for number, text in enumerate(texts.values())
    ]
    handler = _box(b"hdlr", b"\0" * 8, b"mdta", b"\0" * 12)
    count = b"\0" * 4 + len(keys).to_bytes(4, "big")
    meta = _box(b"meta", b"\0" * 4, handler, _box(b"keys", count, *keys), _box(b"ilst", *items))
    return _mp4(_box(b"mvhd", b"\0" * 100), _box(b"udta", meta))


def commented_mp4(texts: Texts) -> bytes:
    """As VideoHelperSuite writes it: a table in the comment."""
    table = json.dumps({key: json.loads(text) for key, text in texts.items()})
    handler = _box(b"hdlr", b"\0" * 8, b"mdir", b"\0" * 12)
    items = _box(b"ilst", _box(b"\xa9cmt", _data(table)))
    return _mp4(_box(b"udta", _box(b"meta", b"\0" * 4, handler, items)))


def webm(texts: Texts) -> bytes:
    return files.film(0.1, kind="webm", codec="libvpx", size=(16, 16), tags=texts)


def real_mp4(texts: Texts) -> bytes:
    return files.film(0.1, size=(16, 16), tags=texts)


def document(texts: Texts) -> bytes:
    """The first text as a file of its own."""
    return next(iter(texts.values())).encode()


def wrapped(texts: Texts) -> bytes:
    """As ComfyUI's history has it."""
    inner: dict[str, Any] = {key: json.loads(text) for key, text in texts.items()}
    workflow = inner.get("workflow")
    extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
    prompt = [1, "id", inner["prompt"], extra, ["9"]] if "prompt" in inner else None
    return json.dumps({"prompt": prompt, "extra_data": extra}).encode()


_COMFY: tuple[Callable[[Texts], bytes], ...] = (
    png, packed_png, international_png, webp, jpeg, mp4, commented_mp4, document, wrapped,
)  # fmt: skip
_TEXT = (png, packed_png, international_png, webp, jpeg, document)
_TABLE = (png, packed_png, international_png, document)

#: Format → containers in which it occurs.
CONTAINERS: dict[str, tuple[Callable[[Texts], bytes], ...]] = {
    "comfyui prompt": (*_COMFY, webm, real_mp4),
    "comfyui workflow": _COMFY,
    "comfyui both": _COMFY[:7],
    "comfyui subgraph": _COMFY,
    "a1111": _TEXT,
    "civitai": _TEXT,
    "invokeai": _TABLE,
    "invokeai workflow": _TABLE,
    "swarmui": _TEXT,
    "fooocus": _TEXT,
    "civitai meta": (document,),
}
