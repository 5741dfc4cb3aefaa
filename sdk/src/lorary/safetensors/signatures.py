"""Recognises files of other formats by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

from lorary.safetensors.errors import HeaderError

SNIFF_BYTES = 512
"""Number of bytes that `sniff` needs: a tar archive has its signature at byte 257."""

_NOT_OURS = ", not a safetensors file."
_PICTURE = "This is a {} image" + _NOT_OURS

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"GGUF", "is_gguf", f"This is a GGUF model (llama.cpp){_NOT_OURS}"),
    (0, b"ggml", "is_gguf", f"This is a GGML model (llama.cpp){_NOT_OURS}"),
    (0, b"lmgg", "is_gguf", f"This is a GGML model (llama.cpp){_NOT_OURS}"),
    (0, b"tjgg", "is_gguf", f"This is a GGML model (llama.cpp){_NOT_OURS}"),
    (0, b"algg", "is_gguf", f"This is a GGML adapter (llama.cpp){_NOT_OURS}"),
    (0, b"\x89HDF\r\n\x1a\n", "is_hdf5", f"This is an HDF5 (Keras) model{_NOT_OURS}"),
    (0, b"\x93NUMPY", "is_other_model", f"This is a NumPy array (.npy){_NOT_OURS}"),
    (4, b"TFL3", "is_other_model", f"This is a TensorFlow Lite model{_NOT_OURS}"),
    (0, b"\x89PNG", "is_image", _PICTURE.format("PNG")),
    (0, b"\xff\xd8\xff", "is_image", _PICTURE.format("JPEG")),
    (0, b"GIF8", "is_image", _PICTURE.format("GIF")),
    (8, b"WEBP", "is_image", _PICTURE.format("WebP")),
    (0, b"RIFF", "is_image", f"This is a RIFF file (sound or video){_NOT_OURS}"),
    (4, b"ftyp", "is_image", f"This is a video or image (MP4, AVIF, HEIC){_NOT_OURS}"),
    (0, b"%PDF", "is_pdf", f"This is a PDF document{_NOT_OURS}"),
    (0, b"\x1f\x8b", "is_archive", "This is a gzip archive. Unpack it first."),
    (0, b"BZh", "is_archive", "This is a bzip2 archive. Unpack it first."),
    (0, b"\xfd7zXZ\x00", "is_archive", "This is an xz archive. Unpack it first."),
    (0, b"7z\xbc\xaf\x27\x1c", "is_archive", "This is a 7-Zip archive. Unpack it first."),
    (0, b"Rar!", "is_archive", "This is a RAR archive. Unpack it first."),
    (0, b"\x28\xb5\x2f\xfd", "is_archive", "This is a Zstandard archive. Unpack it first."),
    (
        257,
        b"ustar",
        "is_archive",
        "This is a tar archive, perhaps an old PyTorch file. Convert it.",
    ),
)

_CONVERT = "It was not opened, because that can run code. Convert it to safetensors first."
_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # begins files of old versions of PyTorch
_ONNX = re.compile(rb"\x08[\x01-\x20]\x12[\x01-\x40](?:[\x20-\x7e]{0,64})(?:onnx|torch|tf2onnx|ml)")
_WEB = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")
_JSON_STARTS = (b'{"', b"{\n", b"{\r", b"{ ", b"[{", b'["', b"{}", b"[]")
_POINTER_SIZE = re.compile(rb"^size (\d{1,15})$", re.MULTILINE)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ufffc]")


def sniff(head: bytes) -> HeaderError | None:
    """Return an error that names the format of a file, or None for an unknown format.

    Call it only after the check of the length has failed: a valid safetensors file begins with a
    small number, which some signatures match.

    Args:
        head: The first `SNIFF_BYTES` bytes of the file.
    """
    for offset, magic, code, message in _MAGIC:
        if head.startswith(magic, offset):
            return HeaderError(message, code=code, offset=0)
    return next((error for detect in _DETECTORS if (error := detect(head)) is not None), None)


def _zip(head: bytes) -> HeaderError | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first.endswith(b".npy"):
        message = "This is a NumPy archive (.npz). Convert it to safetensors first."
    elif first.endswith((b".pkl", b"/version", b"/byteorder", b".data/serialization_id")):
        message = f"This is a PyTorch file (.pt, .ckpt, .bin): a ZIP with a pickle. {_CONVERT}"
    elif first.startswith((b"metadata.json", b"config.json", b"model.weights")):
        message = "This is a Keras model (.keras), not a safetensors file."
    else:
        message = "This is a ZIP archive, like PyTorch .pt files. Convert it to safetensors first."
    return HeaderError(message, code="is_zip", offset=0)


def _pickle(head: bytes) -> HeaderError | None:
    if not (
        len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    ):  # opcode PROTO, version 2 to 5
        return None
    what = "an old PyTorch file (.pt, .ckpt, .bin)" if _TORCH_MAGIC in head[:20] else "a file"
    message = f"This is {what} written by Python's pickle. {_CONVERT}"
    return HeaderError(message, code="is_pickle", offset=0)


def _pointer(head: bytes) -> HeaderError | None:
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = _POINTER_SIZE.search(head)
    facts = {"points_to_bytes": int(size[1])} if size else {}
    what = f"the model of {int(size[1]):,} bytes" if size else "the model"
    message = f"This is a Git LFS pointer, not {what} it points to. Fetch it with `git lfs pull`."
    return HeaderError(message, code="is_lfs_pointer", offset=0, facts=facts)


def _onnx(head: bytes) -> HeaderError | None:
    if not _ONNX.match(head):
        return None
    return HeaderError(f"This is an ONNX model{_NOT_OURS}", code="is_other_model", offset=0)


def _text(head: bytes) -> HeaderError | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(_WEB):
        message = "This is a web page, perhaps an error page. Download the file again."
        return HeaderError(message, code="is_html", offset=0)
    if text.startswith(_JSON_STARTS):
        return HeaderError(_json_message(text), code="is_json", offset=0)
    # `head` may end inside a character.
    if len(head) >= 8 and not _UNPRINTABLE.search(head.decode("utf-8", "replace").rstrip("\ufffd")):
        message = (
            "This is a text file, not a safetensors file. Choose the file that the trainer wrote."
        )
        return HeaderError(message, code="is_text", offset=0)
    return None


def _json_message(text: bytes) -> str:
    if b'"weight_map"' in text or b'"total_size"' in text:
        return "This is the index of a model in several files, not one of the files."
    if b'"peft_type"' in text or b'"base_model_name_or_path"' in text:
        return "This is an adapter_config.json. Choose adapter_model.safetensors instead."
    if b'"error"' in text or b'"detail"' in text or b'"message"' in text:
        return "This is an error message of a server in JSON. Download the file again."
    return "This is JSON text, perhaps an error message of a server. Download the file again."


_DETECTORS: tuple[Callable[[bytes], HeaderError | None], ...] = (
    _zip,
    _pickle,
    _pointer,
    _onnx,
    _text,
)
