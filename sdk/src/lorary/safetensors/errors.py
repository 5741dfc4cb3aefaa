"""The exceptions of the header reader and of files behind URLs, with their lists of codes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_CODES = frozenset(
    {
        "dtype_unknown", "duplicate_key", "file_empty", "file_truncated", "header_bad_padding",
        "header_bad_start", "header_invalid_json", "header_not_utf8", "header_too_complex",
        "header_too_large", "hole", "is_archive", "is_gguf", "is_hdf5", "is_html", "is_text",
        "is_image", "is_json", "is_lfs_pointer", "is_other_model", "is_pdf", "is_pickle", "is_zip",
        "metadata_invalid", "metadata_too_large", "offsets_invalid", "overlap", "shape_invalid",
        "size_mismatch", "tensor_fields_invalid", "tensor_name_invalid", "too_many_tensors",
        "trailing_bytes",
    }
)  # fmt: skip
"""All codes, explained in `docs/findings.md`. They are part of the API: never rename one."""


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
        code: One of `HEADER_CODES`.
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
