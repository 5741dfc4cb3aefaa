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

from hub.http.errors import Malformed
from hub.http.limits import require_length
from hub.webserver.connections import discard


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
    """Return the body as an unread stream; see ``require_length`` for its arguments and errors."""
    require_length(request, expected=expected, limit=limit)
    return request.stream or Empty()


def discard_rest(request: Request) -> None:
    """Discard the rest of a refused body, within limits."""
    with suppress(
        OSError, RawPostDataException
    ):  # the client disconnected, or the body was read already
        discard((request.stream or Empty()).read, request.META)
