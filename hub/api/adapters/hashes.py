"""``/hashes``: look-up of versions by the hashes of their files."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Choice, Endpoint, Query, serialized
from hub.api.versions.serializers import OfFileOut
from registry.blobs import by_hash
from registry.blobs.by_hash import MAX_MATCHES, MAX_ROWS, Match
from registry.derived.options import Wanted
from registry.derived.selectors import wanted_of
from registry.models import HashKind

MAX_CHARS = 80
LARGEST_LIST = 10_000  # of any hub, see `hub/setting_checks.py`

EXAMPLE = OpenApiExample("A few", value={"hashes": ["A1B2C3D4E5", "0x85114A0D"]}, request_only=True)


class HashQuery(Query):
    """Kind of hash to look up."""

    kind = Choice(
        choices=HashKind.choices,
        required=False,
        help_text="Only hashes of this kind; default: any kind.",
    )


class HashesIn(HashQuery):
    """Hashes, each in full or in its common short form."""

    hashes = serializers.ListField(
        child=serializers.CharField(max_length=MAX_CHARS),
        min_length=1,
        max_length=LARGEST_LIST,
        help_text="The maximum number is the hub's setting `LORARY_MAX_HASHES`.",
    )


class DerivedFormOut(serializers.Serializer[Wanted]):
    """How the hub made this file from a version's file."""

    variant = serializers.CharField(help_text="Its name in URLs, such as `comfyui.r16.stripped`.")
    naming = serializers.CharField(help_text="Empty: that of the file.")
    max_rank = serializers.IntegerField(help_text="0: that of the file.")
    strip = serializers.BooleanField(source="is_stripped")


class MatchOut(OfFileOut):
    """A file with the hash, and its version."""

    kind = serializers.ChoiceField(
        choices=HashKind.choices,
        help_text="`sha256`, `autov2` (its first 10 digits), `crc32` (in either byte order) and "
        "`blake3` cover the whole file, `autov1` 64 KiB of it, `data_sha256` and `autov3` (its "
        "first 12 digits) the bytes after the header, `tensors` the tensors, whatever their order "
        "and names, `weights_f16` and `weights_bf16` the values of the weights, whatever their "
        "number format.",
    )
    hash = serializers.CharField(source="value", help_text="As stored, in lower case.")
    derived = serializers.SerializerMethodField(
        help_text="If the hash is that of a file that the hub made from `file`: how; else null. "
        "The hub knows such a file even when it no longer stores it."
    )

    @extend_schema_field(DerivedFormOut(allow_null=True))
    def get_derived(self, match: Match) -> dict[str, Any] | None:
        """Return how the file was made."""
        return dict(DerivedFormOut(wanted_of(match.derived)).data) if match.derived else None


class FoundOut(serializers.Serializer[Any]):
    """Matches of a hash."""

    hash = serializers.CharField(help_text="As requested.")
    matches = MatchOut(
        many=True,
        help_text=f"At most {MAX_MATCHES} matches, oldest versions first, those with `derived` "
        f"after all others; fewer if you ask for many hashes ({MAX_ROWS:,} in all).",
    )


FOUND = inline_serializer("FoundPage", {"results": FoundOut(many=True)})


class HashView(Endpoint):
    """One hash."""

    throttle_scope = "search"

    @extend_schema(
        operation_id="hashes_get", tags=["hashes"], parameters=[HashQuery], responses=FoundOut
    )
    def get(self, _request: Request, value: str) -> Response:
        """Return the versions that have a file with this hash; 404 if you may see none.

        A hash has 8 (AutoV1, CRC-32), 10 (AutoV2), 12 (AutoV3) or 64 hex digits, in any case, with
        or without `0x` or a prefix such as `blake3:`. Only weights are searched.
        Other users' unlisted adapters are found only by hashes of 64 digits, and drafts never.
        Withdrawn versions are still listed. Files in another form (`…/derived`) are found by their
        hashes, too, after all others.
        """
        found = by_hash.by_hash(self.viewer, value, self.query(HashQuery).get("kind", ""))
        return self.answer(FoundOut, {"hash": value, "matches": found})


class Hashes(Endpoint):
    """Several hashes."""

    is_open = True
    throttle_scope = "search"
    throttle_bytes = 8192  # about 120 hashes

    @extend_schema(
        operation_id="hashes_find",
        tags=["hashes"],
        request=HashesIn,
        responses=FOUND,
        examples=[EXAMPLE],
    )
    def post(self, _request: Request) -> Response:
        """Look up many hashes, in their order; `matches` is empty for unknown ones.

        A request may have up to 2,000 hashes, or as many as the hub's `LORARY_MAX_HASHES` allows.
        """
        data = self.body(HashesIn)
        found = by_hash.by_hashes(self.viewer, data["hashes"], data.get("kind", ""))
        results = [{"hash": text, "matches": found[text]} for text in data["hashes"]]
        return Response({"results": serialized(FoundOut, results, {"request": self.request})})
