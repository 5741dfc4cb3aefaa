"""``/adapters/{owner}/{name}/versions/{version}/derived``: a file in the form that a tool loads."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Choice, Endpoint, Input, Link, ProgressOut, Query, serialized
from hub.api.versions.views import BYTES, HEADERS
from hub.http import delivery
from hub.http.callers import address_of
from hub.http.derived_addresses import address_in
from lorary.algebra.naming.targets import ALIASES, TARGETS
from lorary.anatomy.claims.config import CONFIG_NAME
from registry.derived import on_demand, selectors, services
from registry.derived.options import RANKS, Wanted
from registry.derived.selectors import Derived, Source
from registry.errors import NotFound
from registry.models import DerivedState

#: Seconds after which clients ask again while a file is made.
AGAIN_S = 1

EXAMPLE = OpenApiExample(
    "For ComfyUI, at most rank 16",
    value={"naming": "comfyui", "max_rank": 16, "strip": True},
    request_only=True,
)


class PathQuery(Query):
    """The weights file that a request is about."""

    path = serializers.CharField(
        default="",
        max_length=255,
        help_text="Path of the weights file in the version; default: the primary one.",
    )


class DerivedIn(Input):
    """How a file is to differ from the one that was uploaded; each part is optional."""

    path = serializers.CharField(
        default="", max_length=255, help_text="Path of the weights file; default: the primary one."
    )
    naming = Choice(
        choices=[*TARGETS, *ALIASES],
        default="",
        allow_blank=True,
        help_text="Tool whose names the modules get. `original` is the same as `comfyui`.",
    )
    max_rank = Choice(
        choices=RANKS, default=0, help_text="Largest rank of a module. LoHa and LoKr become LoRA."
    )
    strip = serializers.BooleanField(
        default=False, help_text="Leave out the metadata about the training."
    )


def content_path(found: Derived) -> str | None:
    """Return the path of a ready file's download, None before that."""
    version, file = found.source.version, found.source.file
    if not found.is_ready:
        return None
    if found.row is None:
        place = [version.adapter.owner, version.adapter.name, version.name, file.path]
        return reverse("api-file", args=place)
    return address_in("api-derived-file", found)


def _document_path(found: Derived) -> str | None:
    return None if found.row is None else address_in("api-derived-one", found)


class DerivedOut(serializers.Serializer[Derived]):
    """A derived file. Its bytes are those of the upload if nothing had to be changed."""

    path = serializers.CharField(source="source.file.path", help_text="The file it is made from.")
    variant = serializers.CharField(
        source="wanted.variant", help_text="Its name in URLs; empty for the file as uploaded."
    )
    naming = serializers.CharField(source="wanted.naming", help_text="Empty: as uploaded.")
    max_rank = serializers.IntegerField(source="wanted.max_rank", help_text="0: as uploaded.")
    strip = serializers.BooleanField(source="wanted.is_stripped")
    state = serializers.ChoiceField(choices=DerivedState.choices)
    progress = ProgressOut(source="*", read_only=True, help_text="In steps.")
    refusal = serializers.SerializerMethodField(
        help_text="Code of the reason why it cannot be made exactly; empty otherwise."
    )
    reason = serializers.SerializerMethodField(help_text="Why it was refused, or failed.")
    original = serializers.BooleanField(source="is_source", help_text="Same bytes as uploaded.")
    name = serializers.SerializerMethodField(help_text="Name to save it under.")
    size = serializers.SerializerMethodField()
    sha256 = serializers.SerializerMethodField()
    certificate = serializers.SerializerMethodField(
        help_text="What was done: `approximation`, `conversion`, `resize` and `strip`, each only "
        "if it was done."
    )
    config = serializers.SerializerMethodField(
        help_text="The `adapter_config.json` of a file for PEFT, as text; null for others."
    )
    url = Link(_document_path)
    download_url = Link(content_path, help_text="Null until it is ready.")

    def get_refusal(self, found: Derived) -> str:
        """Return the code of a refusal."""
        return found.row.refusal if found.row else ""

    def get_reason(self, found: Derived) -> str:
        """Return the reason of a refusal or a failure."""
        return found.row.reason if found.row else ""

    def get_name(self, found: Derived) -> str:
        """Return the name to save it under."""
        return found.name

    def get_size(self, found: Derived) -> int | None:
        """Return the size in bytes."""
        return found.served.blob.size_bytes if found.is_ready else None

    def get_sha256(self, found: Derived) -> str | None:
        """Return the digest."""
        return found.served.blob.sha256 if found.is_ready else None

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_certificate(self, found: Derived) -> dict[str, Any]:
        """Return the certificate."""
        return dict(found.row.certificate) if found.row else {}

    def get_config(self, found: Derived) -> str | None:
        """Return PEFT's configuration."""
        return found.config or None


class OptionsOut(serializers.Serializer[Source]):
    """What can be made of a weights file, and what was made."""

    path = serializers.CharField(source="file.path")
    sha256 = serializers.CharField(source="file.sha256")
    naming = serializers.CharField(
        source="options.held",
        help_text="Naming of the file; empty if none of the supported tools uses it.",
    )
    namings = serializers.ListField(
        source="options.namings", child=serializers.CharField(), help_text="Others it can have."
    )
    lora_namings = serializers.ListField(
        source="options.lora_namings",
        child=serializers.CharField(),
        help_text="Further namings that it can have with `max_rank`, as a LoRA.",
    )
    approximated = serializers.BooleanField(
        source="options.is_approximated",
        help_text="Whether `max_rank` makes a LoRA of its LoHa and LoKr modules, which is not "
        "exact; the certificate has the error.",
    )
    rank = serializers.IntegerField(
        source="options.rank", help_text="Its largest rank; 0 if its rank cannot be lowered."
    )
    max_ranks = serializers.ListField(source="options.ranks", child=serializers.IntegerField())
    strip = serializers.BooleanField(
        source="options.is_strippable", help_text="Whether it has metadata about its training."
    )
    reason = serializers.SerializerMethodField(help_text="Why it can have no other naming.")
    results = serializers.SerializerMethodField()

    def get_reason(self, source: Source) -> str:
        """Return why there are no other namings."""
        return "" if source.options.namings else source.options.reason

    @extend_schema_field(DerivedOut(many=True))
    def get_results(self, source: Source) -> list[dict[str, Any]]:
        """Return the files that were made or are being made."""
        return serialized(DerivedOut, selectors.listing(source), self.context)


class _OfSource(Endpoint):
    """Mixin of views about a weights file."""

    def source(self, owner: str, name: str, version: str, path: str) -> Source:
        """Return the weights file of a request."""
        return selectors.source_of(self.viewer, owner, name, version, path)

    def found(self, owner: str, name: str, version: str, variant: str) -> Derived:
        """Return the derived file in the URL."""
        path = self.query(PathQuery)["path"]
        return selectors.get(self.source(owner, name, version, path), variant)

    def derived_answer(self, found: Derived) -> Response:
        """Return a file's facts; 202 with ``Retry-After`` while it is made."""
        response = self.answer(DerivedOut, found, status=202 if found.is_open else 200)
        if found.is_open:
            response["Retry-After"] = str(AGAIN_S)
        return response


class DerivedFiles(_OfSource):
    """The forms of a weights file."""

    is_open = True

    @extend_schema(
        operation_id="derived_list", tags=["files"], parameters=[PathQuery], responses=OptionsOut
    )
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """List the forms in which a weights file can be requested, and those that already exist."""
        path = self.query(PathQuery)["path"]
        return self.answer(OptionsOut, self.source(owner, name, version, path))

    @extend_schema(
        operation_id="derived_request",
        tags=["files"],
        request=DerivedIn,
        responses={200: DerivedOut, 202: DerivedOut},
        examples=[EXAMPLE],
    )
    def post(self, request: Request, owner: str, name: str, version: str) -> Response:
        """Request a weights file in another naming, of a smaller rank, or without metadata.

        202 while it is made: ask again at `url`. 200 when it is ready, or was refused because it
        cannot be made exactly. Everyone who may download the file may request it. A
        version's own files never change.
        """
        data = self.body(DerivedIn)
        naming = ALIASES.get(data["naming"], data["naming"])
        found = services.request(
            actor=self.viewer,
            source=self.source(owner, name, version, data["path"]),
            wanted=Wanted(naming, data["max_rank"], data["strip"]),
            address=address_of(request),
        )
        return self.derived_answer(found)


class DerivedView(_OfSource):
    """One derived file."""

    @extend_schema(
        operation_id="derived_get",
        tags=["files"],
        parameters=[PathQuery],
        responses={200: DerivedOut, 202: DerivedOut},
    )
    def get(self, _request: Request, owner: str, name: str, version: str, variant: str) -> Response:
        """Return a derived file such as `comfyui.r16.stripped`, or its progress."""
        return self.derived_answer(self.found(owner, name, version, variant))


class DerivedContent(_OfSource):
    """The bytes of a derived file; the ETag is its sha256."""

    @extend_schema(
        operation_id="derived_download",
        tags=["files"],
        parameters=[PathQuery, *HEADERS],
        responses=BYTES,
    )
    def get(
        self, request: Request, owner: str, name: str, version: str, variant: str
    ) -> HttpResponseBase:
        """Download a derived file or a range of it; counted as a download of the version."""
        found = self.found(owner, name, version, variant)
        if found.row is not None:
            on_demand.used(found.row)
        return delivery.send(request, found.served, found.name, actor=self.viewer)


class DerivedConfig(_OfSource):
    """PEFT's configuration of a derived file."""

    @extend_schema(
        operation_id="derived_config",
        tags=["files"],
        parameters=[PathQuery],
        responses={(200, "application/json"): OpenApiResponse(OpenApiTypes.BINARY, "The file.")},
    )
    def get(
        self, _request: Request, owner: str, name: str, version: str, variant: str
    ) -> HttpResponse:
        """Download the `adapter_config.json` that belongs beside a file for PEFT."""
        found = self.found(owner, name, version, variant)
        if not found.config:
            raise NotFound
        response = HttpResponse(found.config, content_type="application/json")
        response.headers["Content-Disposition"] = delivery.content_disposition(CONFIG_NAME)
        return response
