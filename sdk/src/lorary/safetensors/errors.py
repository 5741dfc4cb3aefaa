"""The exceptions of the header reader and of files behind URLs, with their lists of codes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lorary.base_error import LoraryError

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
        "bad_url": "The address is not an HTTP URL of a file.",
        "bad_header": "A request header contains characters that must not be sent.",
        "bad_redirect": "The server redirects too often, or to an invalid or unencrypted address.",
        "busy": "The server asks to try again later.",
        "changed": "The file changed while it was read.",
        "compressed": "The server sends the file compressed, so parts of it cannot be read.",
        "cut": "The connection ended early.",
        "denied": "The server requires a token, or one with more permissions.",
        "not_found": "There is no file at this address.",
        "offline": "URLs cannot be read offline.",
        "range_failed": "The server cannot send a part of the file.",
        "refused": "The server refused for another reason.",
        "server_failed": "The server failed.",
        "size_unknown": "The server does not report the size of the file.",
        "timed_out": "The server took too long.",
        "tls_failed": "The certificate of the server is not trusted.",
        "too_large": "More bytes would have to be read than is allowed.",
        "unreachable": "The server cannot be reached.",
    }
)
"""Code to meaning. Codes are part of the API: add, never rename."""


class HeaderError(LoraryError, ValueError):
    """A file that this reader does not accept.

    Attributes:
        code: One of `HEADER_CODES`.
        detail: One sentence for people.
        offset: Byte of the file at which the error is, if known.
        facts: JSON values that support the sentence.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        offset: int | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail, code=code, facts=facts)
        self.offset = offset


class SourceError(LoraryError, OSError):
    """A URL that cannot be read.

    Attributes:
        code: A key of `SOURCE_CODES`.
        detail: One sentence for people; it contains neither headers nor the query of the URL.
        status: HTTP status of the response, if there was one.
    """

    def __init__(self, detail: str, *, code: str, status: int | None = None) -> None:
        super().__init__(detail, code=code, status=status)
