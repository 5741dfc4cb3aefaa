"""The exceptions of the header reader and of files behind URLs, with their lists of codes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEADER_CODES", "SOURCE_CODES", "HeaderError", "SourceError"]

HEADER_CODES: Mapping[str, str] = MappingProxyType(
    {
        "dtype_unknown": "A tensor has a number format that safetensors does not have.",
        "duplicate_key": "A name occurs twice, so two readers could see different files.",
        "file_empty": "The file has no bytes.",
        "file_truncated": "The file ends before the end of its header or its tensors.",
        "header_bad_padding": "The header ends with something other than `}` and spaces.",
        "header_bad_start": "The header does not begin with `{`.",
        "header_invalid_json": "The header is not valid JSON.",
        "header_not_utf8": "The header is not valid UTF-8.",
        "header_too_complex": "The header has more entries, values or levels than allowed.",
        "header_too_large": "The header is longer than the limit.",
        "hole": "Bytes of the file belong to no tensor.",
        "is_archive": "The file is a compressed archive.",
        "is_gguf": "The file is a GGUF model.",
        "is_hdf5": "The file is an HDF5 (Keras) model.",
        "is_html": "The file is a web page.",
        "is_text": "The file is plain text.",
        "is_image": "The file is an image.",
        "is_json": "The file is JSON text.",
        "is_lfs_pointer": "The file is a Git LFS pointer, not the model it points to.",
        "is_other_model": "The file is a model in another format, such as ONNX or TensorFlow.",
        "is_pdf": "The file is a PDF document.",
        "is_pickle": "The file is a Python pickle, which can run code when loaded.",
        "is_zip": "The file is a ZIP archive, the form of PyTorch's .pt and .ckpt files.",
        "metadata_invalid": "`__metadata__` is not a flat map of text to text.",
        "metadata_too_large": "`__metadata__` is larger than the limit.",
        "offsets_invalid": "A tensor's data_offsets are not two ordered integers.",
        "overlap": "Two tensors use the same bytes.",
        "shape_invalid": "A tensor's shape is not a list of integers within the limits.",
        "size_mismatch": "A tensor's size does not match its shape and number format.",
        "tensor_fields_invalid": "A tensor's entry has missing or unknown fields.",
        "tensor_name_invalid": "A tensor's name is empty, too long, unprintable or a path.",
        "too_many_tensors": "The file has more tensors than the limit.",
        "trailing_bytes": "Bytes follow the last tensor.",
    }
)
"""Code to meaning. Codes are part of the API: never rename or remove one."""


SOURCE_CODES: Mapping[str, str] = MappingProxyType(
    {
        "bad_url": "The address is not one of a file on the web.",
        "bad_header": "A request header holds characters that must not be sent.",
        "bad_redirect": "The server leads to nowhere, in a circle, or away from encryption.",
        "busy": "The server asks to come back later.",
        "changed": "The file changed while it was read.",
        "compressed": "The server sends the file compressed, so that no part can be picked.",
        "cut": "The connection ended early.",
        "denied": "The server wants a token, or a better one.",
        "not_found": "Nothing is at that address.",
        "range_failed": "The server cannot send a part of the file.",
        "refused": "The server refused for another reason.",
        "server_failed": "The server has a fault.",
        "size_unknown": "The server does not tell how large the file is.",
        "timed_out": "The server took too long.",
        "tls_failed": "The encrypted connection could not be trusted.",
        "too_large": "More bytes than allowed would have to be fetched.",
        "unreachable": "The server cannot be reached.",
    }
)
"""Code to meaning. Codes are part of the API: add, never rename."""


class HeaderError(ValueError):
    """Raised for a file that this reader does not accept.

    Attributes:
        code: A key of `HEADER_CODES`.
        message: One sentence for people.
        offset: Byte of the file where the fault is, when known.
        facts: JSON values that support the message.
    """

    def __init__(
        self,
        code: str,
        message: str,
        offset: int | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.facts: dict[str, object] = dict(facts or {})


class SourceError(OSError):
    """A URL that cannot be read.

    Attributes:
        code: A key of `SOURCE_CODES`.
        message: One sentence for people; it holds neither headers nor the query of the URL.
        status: Status of the server's answer, when there was one.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
