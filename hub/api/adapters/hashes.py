"""``/hashes``: which adapter a file is, by any of the hashes that people have of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import Choice, Endpoint, Input, shown
from hub.api.versions.serializers import FileOut, VersionBriefOut
from registry.blobs import by_hash
from registry.blobs.by_hash import MAX_MATCHES, MAX_ROWS, Match
from registry.models import HashKind

if TYPE_CHECKING:
    from rest_framework.request import Request

MAX_CHARS = 80
LARGEST_LIST = 10_000  # of any hub, see `hub/setting_checks.py`

KIND = OpenApiParameter(
    "kind", str, enum=HashKind.values, description="Only hashes of this kind; any when left out."
)
EXAMPLE = OpenApiExample("A few", value={"hashes": ["A1B2C3D4E5", "0x85114A0D"]}, request_only=True)


class HashQuery(Input):
    """What kind of hash is meant."""

    kind = Choice(choices=HashKind.choices, required=False)


class HashesIn(HashQuery):
    """Hashes, each in full or in its customary short form."""

    hashes = serializers.ListField(
        child=serializers.CharField(max_length=MAX_CHARS),
        min_length=1,
        max_length=LARGEST_LIST,
        help_text="At most as many as the hub takes at once (`LORARY_MAX_HASHES`).",
    )


class MatchOut(serializers.Serializer[Match]):
    """A file that has the hash, with the version that it is of."""

    kind = serializers.ChoiceField(
        choices=HashKind.choices,
        help_text="`sha256`, `autov2` (its first 10), `crc32` (bytes in either order) and `blake3` "
        "are of the whole file, `autov1` of 64 KiB in it, `data_sha256` and `autov3` (its first "
        "12) of what follows the header, `tensors` of the tensors in any order and by any name, "
        "`weights_f16` and `weights_bf16` of what they do, also in another number format.",
    )
    hash = serializers.CharField(source="value", help_text="As it is kept, in lower case.")
    version = VersionBriefOut()
    file = serializers.SerializerMethodField()

    @extend_schema_field(FileOut)
    def get_file(self, match: Match) -> dict[str, Any]:
        """Return the file."""
        context = {**self.context, "version": match.version}
        return dict(FileOut(match.file, context=context).data)


class FoundOut(serializers.Serializer[Any]):
    """What a hash may mean."""

    hash = serializers.CharField(help_text="As it was asked for.")
    matches = MatchOut(
        many=True,
        help_text=f"At most {MAX_MATCHES}, of n hashes {MAX_ROWS:,} / n; those of the versions "
        "that were published first.",
    )


FOUND = inline_serializer("FoundPage", {"results": FoundOut(many=True)})


class HashView(Endpoint):
    """One hash."""

    throttle_scope = "search"

    @extend_schema(
        operation_id="hashes_get", tags=["hashes"], parameters=[KIND], responses=FoundOut
    )
    def get(self, _request: Request, value: str) -> Response:
        """Say which versions hold a file with this hash; 404 where you may see none.

        A hash has 8 (AutoV1, CRC-32), 10 (AutoV2), 12 (AutoV3) or 64 hex digits, in any case, with
        or without `0x` or a prefix such as `blake3:`. Hashes are of weights. Unlisted adapters of
        others are found by 64 digits only, drafts never; of withdrawn versions the entry is left.
        """
        found = by_hash.by_hash(self.viewer, value, self.asked(HashQuery).get("kind", ""))
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
        """Say the same of many hashes, in their order; no `matches` where there are none.

        A hub takes up to 2,000 at once unless `LORARY_MAX_HASHES` says otherwise.
        """
        asked = self.said(HashesIn)
        found = by_hash.by_hashes(self.viewer, asked["hashes"], asked.get("kind", ""))
        results = [{"hash": text, "matches": found[text]} for text in asked["hashes"]]
        return Response({"results": shown(FoundOut, results, {"request": self.request})})
