"""``/compare``: the weights of two versions, block by block."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Endpoint, Query
from hub.http.callers import address_of
from registry.comparisons import services
from registry.errors import StateConflict
from registry.versions.selectors import version_named

#: Seconds after which clients ask again while a comparison is computed.
AGAIN_S = 1


SIDE = "`owner/name`, or `owner/name@v2`."


class CompareQuery(Query):
    """The two versions."""

    a = serializers.CharField(max_length=200, help_text=SIDE)
    b = serializers.CharField(max_length=200, help_text=SIDE)


class ComparedBlockOut(serializers.Serializer[Any]):
    """A block of the base model."""

    block = serializers.CharField()
    cosine = serializers.FloatField(
        allow_null=True, help_text="Null if one of the versions does not change the block."
    )
    energy = serializers.ListField(child=serializers.FloatField(), help_text="Of `a` and of `b`.")
    moved = serializers.FloatField(help_text="The block's share of the whole difference.")


class ComparisonOut(serializers.Serializer[Any]):
    """What `lorary compare --json` prints for the primary files of two versions."""

    cosine = serializers.FloatField()
    blocks = ComparedBlockOut(many=True)
    energy = serializers.ListField(child=serializers.FloatField(), help_text="Of `a` and of `b`.")
    metadata = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True)),
        help_text="Keys of the headers whose values differ, with both values; null for an absent "
        "one. At most 500 keys, and 4,000 characters of a value.",
    )


WAITING = inline_serializer("ComparisonState", {"state": serializers.CharField()})


class Compare(Endpoint):
    """The comparison of two versions."""

    @extend_schema(
        operation_id="compare",
        tags=["versions"],
        parameters=[CompareQuery],
        responses={200: ComparisonOut, 202: WAITING},
    )
    def get(self, request: Request) -> Response:
        """Compare the weights of two versions, block by block.

        202 with `state` while it is computed, which the first request begins: ask again. 409 if
        the weights cannot be compared; `refusal` is the code of the reason. Everyone who may
        download both files may ask.
        """
        sent = self.query(CompareQuery)
        found = services.request(
            actor=self.viewer,
            first=version_named(self.viewer, sent["a"]),
            second=version_named(self.viewer, sent["b"]),
            address=address_of(request),
        )
        if found.is_open:
            return Response({"state": found.state}, 202, headers={"Retry-After": str(AGAIN_S)})
        if not found.is_ready:
            raise StateConflict(found.reason, state=found.state, refusal=found.refusal)
        return self.answer(ComparisonOut, found.result)
