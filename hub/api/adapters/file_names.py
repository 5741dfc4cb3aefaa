"""``/file-names``: look-up of versions by the names of their files."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Endpoint, Input, serialized
from hub.api.versions.serializers import OfFileOut
from registry.adapters import by_file_name
from registry.adapters.by_file_name import MAX_MATCHES, MAX_NAMES

MAX_CHARS = 255

EXAMPLE = OpenApiExample("A few", value={"names": ["noir.safetensors", "ink"]}, request_only=True)


class NamesIn(Input):
    """Names of files."""

    names = serializers.ListField(
        child=serializers.CharField(max_length=MAX_CHARS),
        min_length=1,
        max_length=MAX_NAMES,
        help_text="Case, folders and the ending do not count.",
    )


class NamedOut(OfFileOut):
    """A file with the name, and the newest published version that has it."""


class NamesOut(serializers.Serializer[Any]):
    """Matches of a name."""

    name = serializers.CharField(help_text="As requested.")
    matches = NamedOut(many=True, help_text=f"At most {MAX_MATCHES}, one for each adapter.")


class FileNames(Endpoint):
    """Several names of files."""

    is_open = True
    throttle_scope = "search"
    throttle_bytes = 1024

    @extend_schema(
        operation_id="file_names_find",
        tags=["hashes"],
        request=NamesIn,
        responses=inline_serializer("NamesPage", {"results": NamesOut(many=True)}),
        examples=[EXAMPLE],
    )
    def post(self, _request: Request) -> Response:
        """Look up names of files, as workflows have them; `matches` is empty for unknown ones.

        Only weights of listed adapters are found. A name does not prove that a file is the same:
        use hashes where they are known. A name under which clients save a file
        (`owner--name.safetensors`) is found too.
        """
        names = self.body(NamesIn)["names"]
        found = by_file_name.by_file_names(self.viewer, names)
        results = [{"name": name, "matches": found[name]} for name in names]
        return Response({"results": serialized(NamesOut, results, {"request": self.request})})
