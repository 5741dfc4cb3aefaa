"""Parsers and renderers: JSON of limited depth, raw streams, one response format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO, Any

from django.http import RawPostDataException
from django.utils.translation import gettext as _
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from hub.http.errors import LengthRequired, Malformed
from hub.webserver.connections import discard
from registry.errors import SizeMismatch, TooLarge


class OneFormat(BaseContentNegotiation):
    """Always answers JSON: RFC 9110 §12.5.1 lets a server disregard Accept."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser for the content type, or None."""
        kind = (request.content_type or "").partition(";")[0].strip().casefold()
        for parser in parsers:
            if parser.media_type in {"*/*", kind}:
                return parser
        return None

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Return the only renderer."""
        del request, format_suffix
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class BoundedJSONParser(JSONParser):
    """Parses JSON of limited depth; Django limits its size before it is read."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the document.

        Raises:
            Malformed: the JSON is nested too deeply.
        """
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise Malformed(_("The JSON is nested too deeply.")) from error


class RawParser(BaseParser):
    """Accepts any content type and leaves the stream to the view."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - DRF expects parsed data, this is the stream
        """Return the stream."""
        del media_type, parser_context
        return stream


class Empty:
    """An empty body."""

    def read(self, _size: int, /) -> bytes:
        """Return no bytes."""
        return b""


def raw_body(request: Request, *, expected: int | None = None, limit: int | None = None) -> Any:  # noqa: ANN401 - Django's request is the stream
    """Return the body as an unread stream.

    Args:
        request: With Content-Length.
        expected: Exact length in bytes; another length is refused before reading.
        limit: Maximum length in bytes.

    Raises:
        LengthRequired: the request is chunked or has no length.
        SizeMismatch: the length is not the expected one.
        TooLarge: the length is above the limit.
    """
    if not str(request.META.get("CONTENT_LENGTH") or "").isdecimal():
        raise LengthRequired
    length = _announced(request)
    if expected is not None and length != expected:
        text = _("This request has %(got)d bytes, not the announced %(expected)d.")
        raise SizeMismatch(
            text % {"expected": expected, "got": length}, expected=expected, received=length
        )
    if limit is not None and length > limit:
        raise TooLarge(
            _("At most %(limit)d bytes are accepted here.") % {"limit": limit}, limit=limit
        )
    return request.stream or Empty()


def discard_rest(request: Request) -> None:
    """Discard the rest of a refused body, within limits."""
    with suppress(
        OSError, RawPostDataException
    ):  # the client disconnected, or the body was read already
        discard((request.stream or Empty()).read, request.META)


def _announced(request: Request) -> int:
    text = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() and len(text) <= 18 else 0
