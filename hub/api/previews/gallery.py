"""``…/versions/{v}/samples`` and ``/samples/{id}``: gallery images and videos."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import (
    Choice,
    ChoiceParameter,
    Endpoint,
    Input,
    Link,
    PageQuery,
    Query,
    RawEndpoint,
    TextParameter,
    VersionEndpoint,
    page_of,
    paged,
    paging,
    serialized,
)
from hub.api.bodies import raw_body
from previews.models import Sample, SampleKind, SampleState
from previews.sample_files.formats import MAX_FILM_BYTES
from previews.samples import selectors, services
from previews.samples.selectors import ShownSample
from registry.models import Maturity

KINDS = ("image/png", "image/jpeg", "image/webp", "video/mp4", "video/webm")
#: Help of a field with a picture's own rating.
OWN_RATING = "Its own content rating; empty: that of the adapter."
RAW = dict.fromkeys(KINDS, OpenApiTypes.BINARY)


class SampleQuery(Query):
    """Name and caption of a gallery upload."""

    name = TextParameter(255, "File name, for error messages.")
    caption = TextParameter(1000, "At most 280 characters.")
    maturity = ChoiceParameter(Maturity.choices, OWN_RATING)


class SampleListQuery(PageQuery):
    """Filter and page of a gallery."""

    max_maturity = ChoiceParameter(Maturity.choices, "Highest content rating.")


class SampleIn(Input):
    """Editable fields of a gallery image."""

    caption = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    maturity = Choice(
        choices=Maturity.choices, required=False, allow_blank=True, help_text=OWN_RATING
    )


class SampleResourceOut(serializers.Serializer[Any]):
    """A file that is named in the metadata."""

    name = serializers.CharField()
    kind = serializers.CharField(help_text="`lora`, `checkpoint`, `embedding` …")
    strength = serializers.FloatField(required=False)
    hashes = serializers.ListField(child=serializers.CharField())
    matched = serializers.CharField(
        allow_null=True, help_text="`owner/name@v1` whose file has one of these hashes."
    )


class SampleClaimsOut(serializers.Serializer[Any]):
    """Generation settings from the image's metadata, unverified; missing ones are omitted."""

    tool = serializers.CharField(
        required=False, help_text="Tool in whose format the metadata is written."
    )
    prompt = serializers.CharField(required=False)
    negative = serializers.CharField(required=False)
    seed = serializers.IntegerField(required=False)
    steps = serializers.IntegerField(required=False)
    sampler = serializers.CharField(required=False)
    guidance = serializers.FloatField(required=False)
    size = serializers.CharField(required=False, help_text="`512x768`, before upscaling.")
    model = serializers.CharField(required=False)
    resources = SampleResourceOut(many=True, required=False)


class SampleOut(serializers.Serializer[ShownSample]):
    """A gallery image or short video that a user uploaded for a version."""

    id = serializers.IntegerField()
    adapter = serializers.CharField(source="row.version.adapter.full_name")
    version = serializers.CharField(source="row.version.name")
    brought_by = serializers.CharField(source="row.author.username")
    kind = serializers.ChoiceField(source="row.kind", choices=SampleKind.choices)
    state = serializers.ChoiceField(source="row.state", choices=SampleState.choices)
    reason = serializers.CharField(source="row.reason", help_text="Why the picture was refused.")
    file_name = serializers.SerializerMethodField(help_text="Empty once it is ready.")
    caption = serializers.CharField(source="row.caption")
    url = Link(attrgetter("url"), allow_null=True, help_text="WebP or MP4; null until it is ready.")
    poster_url = Link(
        attrgetter("poster_url"), allow_null=True, help_text="First frame of a video, WebP."
    )
    small_url = Link(
        attrgetter("small_url"),
        allow_null=True,
        help_text="Image or poster with at most 640 pixels a side, for lists.",
    )
    width = serializers.IntegerField(source="row.width")
    height = serializers.IntegerField(source="row.height")
    placeholder = serializers.CharField(
        source="row.placeholder", help_text="`data:` URL of a blurred placeholder."
    )
    maturity = serializers.ChoiceField(
        choices=Maturity.choices, help_text="Content rating: its own, else that of the adapter."
    )
    own_maturity = serializers.ChoiceField(
        source="row.maturity", choices=Maturity.choices, allow_blank=True, help_text=OWN_RATING
    )
    claims = SampleClaimsOut(source="facts")
    created_at = serializers.DateTimeField(source="row.created_at")

    def get_file_name(self, sample: ShownSample) -> str:
        """Return the name of the uploaded file."""
        return str(sample.facts.get("name", ""))


class _Answering(Endpoint):
    """Mixin of views that answer with a gallery image."""

    def sample_answer(self, sample: Sample, *, status: int = 200) -> Response:
        """Return a gallery image as the caller may see it."""
        [found] = selectors.shown(self.viewer, [sample])
        return self.answer(SampleOut, found, status=status)


class VersionSamples(_Answering, VersionEndpoint, RawEndpoint):
    """Gallery images of a version."""

    @extend_schema(
        operation_id="samples_list",
        tags=["samples"],
        parameters=[SampleListQuery],
        responses=paging("Sample", SampleOut),
    )
    def get(self, request: Request, owner: str, name: str, version: str) -> Response:
        """List gallery images, newest first. Owners also see those that are not ready."""
        found = self.version(owner, name, version)
        query = self.query(SampleListQuery)
        listed = selectors.listing(self.viewer, found)
        if highest := query.pop("max_maturity"):
            listed = selectors.up_to(listed, highest)
        rows, cursor = page_of(listed, **query)
        context = {"request": request}
        return paged(
            self, serialized(SampleOut, selectors.shown(self.viewer, rows), context), cursor
        )

    @extend_schema(
        operation_id="samples_add",
        tags=["samples"],
        parameters=[SampleQuery],
        request=RAW,
        responses={202: SampleOut},
    )
    def post(self, request: Request, owner: str, name: str, version: str) -> Response:
        """Upload a gallery image or short video as the body; a worker checks it (see `state`).

        PNG, JPEG and WebP up to 20 MiB and 40 million pixels; MP4 and WebM up to 64 MiB, 1080p
        and 20 seconds. Files are re-encoded, without metadata or sound.
        """
        found = self.version(owner, name, version)
        query = self.query(SampleQuery)
        stream = raw_body(request, limit=MAX_FILM_BYTES)
        sample = services.add(actor=self.actor, version=found, stream=stream, **query)
        answer = self.sample_answer(sample, status=202)
        answer.headers["Location"] = reverse("api-sample", args=[sample.pk])
        return answer


class SampleView(_Answering):
    """One gallery image."""

    @extend_schema(operation_id="samples_get", tags=["samples"], responses=SampleOut)
    def get(self, _request: Request, sample_id: int) -> Response:
        """Return a gallery image with the settings from its metadata."""
        return self.sample_answer(selectors.get(self.viewer, sample_id))

    @extend_schema(
        operation_id="samples_edit", tags=["samples"], request=SampleIn, responses=SampleOut
    )
    def patch(self, _request: Request, sample_id: int) -> Response:
        """Change caption or content rating; omitted fields stay."""
        sample = selectors.get(self.viewer, sample_id)
        data = self.body(SampleIn, is_partial=True)
        return self.sample_answer(services.edit(actor=self.actor, sample=sample, **data))

    @extend_schema(operation_id="samples_remove", tags=["samples"], responses={204: None})
    def delete(self, _request: Request, sample_id: int) -> Response:
        """Delete a gallery image."""
        services.remove(actor=self.actor, sample=selectors.get(self.viewer, sample_id))
        return Response(status=204)
