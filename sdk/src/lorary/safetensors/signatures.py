"""What a file that is not safetensors really is, told from its first bytes."""

from __future__ import annotations

from lorary.safetensors.errors import HeaderError

__all__ = ["SNIFF_BYTES", "sniff"]

SNIFF_BYTES = 64
"""Bytes that `sniff` looks at."""

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"PK\x03\x04",
        "is_zip",
        "This is a ZIP archive, the form of PyTorch .pt files. Convert it to safetensors first.",
    ),
    (b"GGUF", "is_gguf", "This is a GGUF model (llama.cpp), not a safetensors file."),
    (b"\x89HDF\r\n\x1a\n", "is_hdf5", "This is an HDF5 (Keras) model, not a safetensors file."),
    (
        b"version https://git-lfs",
        "is_lfs_pointer",
        "This is a Git LFS pointer, not the model it points to. Fetch it with `git lfs pull`.",
    ),
    (b"\x89PNG", "is_image", "This is a PNG picture, not a safetensors file."),
    (b"\xff\xd8\xff", "is_image", "This is a JPEG picture, not a safetensors file."),
    (b"RIFF", "is_image", "This is a RIFF file (WebP picture or sound), not a safetensors file."),
    (b"GIF8", "is_image", "This is a GIF picture, not a safetensors file."),
    (b"%PDF", "is_pdf", "This is a PDF document, not a safetensors file."),
    (b"\x1f\x8b", "is_archive", "This is a gzip archive. Unpack it first."),
    (b"7z\xbc\xaf\x27\x1c", "is_archive", "This is a 7-Zip archive. Unpack it first."),
    (b"Rar!", "is_archive", "This is a RAR archive. Unpack it first."),
    (b"\x28\xb5\x2f\xfd", "is_archive", "This is a Zstandard archive. Unpack it first."),
)

_PICKLE = (
    "This is a Python pickle, which can run code when it is loaded. "
    "It was not opened. Convert it to safetensors first."
)
_HTML = "This is a web page, often an error page saved as a model. Download the file again."
_JSON = "This is JSON text, often an error answer saved as a model. Download the file again."

_TEXT = "This is a text file, not a safetensors file. Choose the file that the trainer wrote."
_PRINTABLE = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


def sniff(head: bytes) -> HeaderError | None:
    """Name the format of a file by its first bytes.

    A valid safetensors file is never named here, because its first eight bytes are a small
    number. Called only after the length check has failed.

    Args:
        head: The first bytes of the file, `SNIFF_BYTES` are enough.

    Returns:
        The error that says what the file is, or None when nothing fits.
    """
    for magic, code, message in _MAGIC:
        if head.startswith(magic):
            return HeaderError(code, message, 0)
    if len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5:  # PROTO opcode, protocol 2-5
        return HeaderError("is_pickle", _PICKLE, 0)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return HeaderError("is_html", _HTML, 0)
    if text.startswith((b'{"', b"{\n", b"{ ", b"[{", b"{}")):
        return HeaderError("is_json", _JSON, 0)
    if len(head) >= 8 and all(byte in _PRINTABLE for byte in head):
        return HeaderError("is_text", _TEXT, 0)
    return None
