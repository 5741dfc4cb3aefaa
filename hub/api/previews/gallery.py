"""``…/versions/{v}/samples`` and ``/samples/{id}``: uploaded pictures and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from hub.api.base import (
    PAGING,
    Endpoint,
    Input,
    PageQuery,
    RawEndpoint,
    absolute,
    page_of,
    paged,
    paging,
    shown,
)
from hub.api.bodies import raw_body
from previews.models import SampleKind, SampleState
from previews.sample_files.formats import MAX_FILM_BYTES
from previews.samples import selectors, services
from previews.samples.selectors import ShownSample
from registry.adapters import selectors as adapter_selectors
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from rest_framework.request import Request

    from previews.models import Sample
    from registry.models import Version

KINDS = ("image/png", "image/jpeg", "image/webp", "video/mp4", "video/webm")
RAW = dict.fromkeys(KINDS, OpenApiTypes.BINARY)


class SampleQuery(Input):
    """What is said about a file that is sent."""

    name = serializers.CharField(default="", allow_blank=True, max_length=255)
    caption = serializers.CharField(default="", allow_blank=True, max_length=1000)


class SampleIn(Input):
    """What can be changed of a sample."""

    caption = serializers.CharField(allow_blank=True, max_length=1000)


class SampleResourceOut(serializers.Serializer[Any]):
    """A file that the metadata name."""

    name = serializers.CharField()
    kind = serializers.CharField(help_text="`lora`, `checkpoint`, `embedding` …")
    strength = serializers.FloatField(required=False)
    hashes = serializers.ListField(child=serializers.CharField())
    matched = serializers.CharField(
        allow_null=True, help_text="`owner/name@v1` whose file has one of these hashes."
    )


class SampleClaimsOut(serializers.Serializer[Any]):
    """What the metadata claim; nothing of it is proven, and what they do not say is left out."""

    tool = serializers.CharField(required=False, help_text="Whose form the metadata have.")
    prompt = serializers.CharField(required=False)
    negative = serializers.CharField(required=False)
    seed = serializers.IntegerField(required=False)
    steps = serializers.IntegerField(required=False)
    sampler = serializers.CharField(required=False)
    guidance = serializers.FloatField(required=False)
    size = serializers.CharField(required=False, help_text="`512x768`, before any enlargement.")
    model = serializers.CharField(required=False)
    resources = SampleResourceOut(many=True, required=False)


class SampleOut(serializers.Serializer[ShownSample]):
    """A picture or short video that somebody says was made with a version."""

    id = serializers.IntegerField()
    adapter = serializers.CharField(source="row.version.adapter.full_name")
    version = serializers.CharField(source="row.version.name")
    brought_by = serializers.CharField(source="row.author.username")
    kind = serializers.ChoiceField(source="row.kind", choices=SampleKind.choices)
    state = serializers.ChoiceField(source="row.state", choices=SampleState.choices)
    reason = serializers.CharField(source="row.reason", help_text="Why it was refused.")
    file_name = serializers.SerializerMethodField(help_text="Until it is ready.")
    caption = serializers.CharField(source="row.caption")
    url = serializers.SerializerMethodField(help_text="WebP or MP4, once it is ready.")
    poster_url = serializers.SerializerMethodField(help_text="First picture of a video, WebP.")
    small_url = serializers.SerializerMethodField(
        help_text="Picture or poster of at most 640 pixels a side, for lists."
    )
    width = serializers.IntegerField(source="row.width")
    height = serializers.IntegerField(source="row.height")
    placeholder = serializers.CharField(
        source="row.placeholder", help_text="Data address of a picture of a few pixels."
    )
    claims = SampleClaimsOut(source="facts")
    created_at = serializers.DateTimeField(source="row.created_at")

    def get_file_name(self, sample: ShownSample) -> str:
        """Return what its owner calls the file."""
        return str(sample.facts.get("name", ""))

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_url(self, sample: ShownSample) -> str | None:
        """Return where the picture or video is."""
        return absolute(self.context, sample.url) if sample.url else None

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_poster_url(self, sample: ShownSample) -> str | None:
        """Return where the poster is."""
        return absolute(self.context, sample.poster_url) if sample.poster_url else None

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_small_url(self, sample: ShownSample) -> str | None:
        """Return where a small form is."""
        return absolute(self.context, sample.small_url) if sample.small_url else None


class _Answering(Endpoint):
    """Answers with a sample."""

    def sample_answer(self, sample: Sample, *, status: int = 200) -> Response:
        """Return a sample as the caller may see it."""
        [found] = selectors.shown(self.viewer, [sample])
        return self.answer(SampleOut, found, status=status)


class VersionSamples(_Answering, RawEndpoint):
    """Pictures of a version."""

    def version(self, owner: str, name: str, version: str) -> Version:
        """Return the version that the address names."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        return version_selectors.get(self.viewer, adapter, version)

    @extend_schema(
        operation_id="samples_list",
        tags=["samples"],
        parameters=PAGING,
        responses=paging("Sample", SampleOut),
    )
    def get(self, request: Request, owner: str, name: str, version: str) -> Response:
        """List uploaded pictures, newest first. Owners also see what is not shown."""
        found = self.version(owner, name, version)
        rows, cursor = page_of(selectors.listing(self.viewer, found), **self.asked(PageQuery))
        context = {"request": request}
        return paged(self, shown(SampleOut, selectors.shown(self.viewer, rows), context), cursor)

    @extend_schema(
        operation_id="samples_add",
        tags=["samples"],
        parameters=[
            OpenApiParameter("name", str, description="File name, told with a refusal."),
            OpenApiParameter("caption", str, description="At most 280 characters."),
        ],
        request=RAW,
        responses={202: SampleOut},
    )
    def post(self, request: Request, owner: str, name: str, version: str) -> Response:
        """Bring a picture or short video as the body; a worker reads it, ask for its `state`.

        PNG, JPEG and WebP up to 20 MiB and 40 million pixels; MP4 and WebM up to 64 MiB, 1080p
        and 20 seconds. What is served is encoded again, without metadata and sound.
        """
        found = self.version(owner, name, version)
        said = self.asked(SampleQuery)
        stream = raw_body(request, limit=MAX_FILM_BYTES)
        sample = services.add(actor=self.actor, version=found, stream=stream, **said)
        answer = self.sample_answer(sample, status=202)
        answer.headers["Location"] = reverse("api-sample", args=[sample.pk])
        return answer


class SampleView(_Answering):
    """One picture."""

    @extend_schema(operation_id="samples_get", tags=["samples"], responses=SampleOut)
    def get(self, _request: Request, sample_id: int) -> Response:
        """Return a picture, and what its metadata claim."""
        return self.sample_answer(selectors.get(self.viewer, sample_id))

    @extend_schema(
        operation_id="samples_edit", tags=["samples"], request=SampleIn, responses=SampleOut
    )
    def patch(self, _request: Request, sample_id: int) -> Response:
        """Change the caption."""
        sample = selectors.get(self.viewer, sample_id)
        caption = self.said(SampleIn)["caption"]
        return self.sample_answer(
            services.set_caption(actor=self.actor, sample=sample, caption=caption)
        )

    @extend_schema(operation_id="samples_remove", tags=["samples"], responses={204: None})
    def delete(self, _request: Request, sample_id: int) -> Response:
        """Take a picture away."""
        services.remove(actor=self.actor, sample=selectors.get(self.viewer, sample_id))
        return Response(status=204)
