"""Relatives of a version, and of a file by its sketch."""

from __future__ import annotations

import base64
import binascii

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Endpoint, Input, VersionEndpoint, serialized
from hub.api.versions.serializers import OfFileOut
from lorary.algebra.recognition.relating import Facts
from lorary.algebra.recognition.sketch import FORM, MAX_BYTES, WeightSketches
from registry.blobs import relatives
from registry.blobs.relatives import SAME_FILE, Relative
from registry.errors import Invalid
from registry.models import Relation, RelationDirection, VersionState
from registry.versions import selectors as version_selectors

#: Maximum number of results.
MAX_RESULTS = 50

_RELATIONS = [(SAME_FILE, gettext_lazy("The same file")), *Relation.choices]


class RelativeOut(OfFileOut):
    """A version with a related file."""

    relation = serializers.ChoiceField(
        choices=_RELATIONS,
        source="kind",
        help_text="`same_file`; `same_weights` with another header; `number_format`: for example "
        "in fp16; `renamed`: in another naming; `strength`: multiplied by a number; `resized` to "
        "another rank; `part`: some of the layers; `same_run`: another epoch of the same "
        "training run; `related`: similar weights.",
    )
    direction = serializers.ChoiceField(
        choices=RelationDirection.choices,
        allow_blank=True,
        help_text="`from`: your file was made from this one; `to`: this one was made from yours; "
        "empty if that can't be told.",
    )
    cosine = serializers.FloatField(
        help_text="Cosine of the two updates, -1 to 1, estimated from sketches."
    )
    strength = serializers.FloatField(
        help_text="Size of your file's update, divided by that of this one; negative if inverted."
    )


RELATIVES = inline_serializer("RelativesPage", {"results": RelativeOut(many=True)})


class _OfRelatives(Endpoint):
    """Base of views that answer with relatives."""

    def relatives(self, found: list[Relative]) -> Response:
        """Return the response."""
        context = {"request": self.request}
        return Response({"results": serialized(RelativeOut, found[:MAX_RESULTS], context)})


class VersionRelatives(_OfRelatives, VersionEndpoint):
    """Relatives of a version."""

    @extend_schema(operation_id="versions_relatives", tags=["versions"], responses=RELATIVES)
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """List versions with weights that are copies or relatives of this version's, closest first.

        At most 50. Other users' private and unlisted adapters are left out.
        """
        found = self.version(owner, name, version)
        if found.state == VersionState.WITHDRAWN:
            raise version_selectors.gone(found, version)
        return self.relatives(relatives.of_version(self.viewer, found, most=MAX_RESULTS))


class SketchIn(Input):
    """The sketch of a file, as `lorary.algebra.recognition` makes it."""

    form = serializers.IntegerField(help_text=f"Version of the algorithm: {FORM}.")
    weights = serializers.CharField(
        max_length=4 * -(-MAX_BYTES // 3),
        help_text="Sketches of the weights, in Base64.",
    )
    dtype = serializers.CharField(default="", allow_blank=True, max_length=16)
    naming = serializers.CharField(default="", allow_blank=True, max_length=64)
    run = serializers.CharField(default="", allow_blank=True, max_length=64)


class Relatives(_OfRelatives):
    """Relatives of a file that is not sent."""

    is_open = True
    throttle_scope = "search"
    throttle_bytes = 128 * 1024  # an adapter of SDXL with all layers has less

    @extend_schema(
        operation_id="relatives_find", tags=["hashes"], request=SketchIn, responses=RELATIVES
    )
    def post(self, _request: Request) -> Response:
        """Find versions with weights that are copies or relatives of a file's, closest first.

        `lorary find` sends this for a file whose hashes are not known. A sketch has 42 bytes for
        each adapted weight, at most 16,384, from which the weights can't be computed. At most 50
        results. Other users' private and unlisted adapters are left out.
        """
        data = self.body(SketchIn)
        if data["form"] != FORM:
            text = _(
                "This hub compares only sketches of form %(n)d. Install the client of this hub: "
                "“Help” has the command."
            )
            raise Invalid(text % {"n": FORM})
        facts = Facts(data["dtype"], data["naming"], data["run"])
        return self.relatives(relatives.of_sketch(self.viewer, _weights(data["weights"]), facts))


def _weights(text: str) -> WeightSketches:
    try:
        weights = WeightSketches.from_bytes(base64.b64decode(text, validate=True))
        weights.require_valid()
    except (binascii.Error, ValueError) as error:
        raise Invalid(_("The sketch is invalid.")) from error
    return weights
