"""``/adapters/{owner}/{name}/versions``: drafts, publication, yanking, files, withdrawal."""

from __future__ import annotations

import dataclasses

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.adapters.views import AdapterDetailOut
from hub.api.base import (
    Endpoint,
    Input,
    PageQuery,
    VersionEndpoint,
    page_of,
    paged,
    paging,
    serialized,
)
from hub.api.versions.serializers import VersionBriefOut, VersionOut
from hub.http import delivery
from lorary.client.names import saved_name
from lorary.client.transfers.details import MAX_TRIGGER_WORDS
from previews.covers.selectors import covers_of
from registry.adapters import selectors as adapter_selectors
from registry.cards import services as cards
from registry.models import VersionState
from registry.publication import services as publication
from registry.uploads import selectors as upload_selectors
from registry.versions import files, withdraw
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions.contents import MAX_FILES
from registry.versions.details import Details
from registry.versions.latest import MAX_REASON

EXAMPLE = OpenApiExample(
    "Publish an accepted upload",
    value={
        "uploads": ["0b1f3c1e-6c2e-4d57-9a8b-6f2f5b1d7a10"],
        "trigger_words": ["noir style"],
        "strength": 0.8,
        "strength_min": 0.4,
        "strength_max": 1.0,
        "publish": True,
    },
    request_only=True,
)


class DetailsIn(Input):
    """Details of a version that its owner sets."""

    label = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.label
        required=False, allow_blank=True, max_length=48
    )
    notes = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    family = serializers.CharField(
        required=False, allow_blank=True, max_length=48, source="declared_family"
    )
    lineage = serializers.CharField(required=False, allow_blank=True, max_length=64)
    trigger_words = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=MAX_TRIGGER_WORDS,
        help_text="Default for a new version: the file's, else the previous version's; []: none.",
    )
    optional_trigger_words = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        max_length=MAX_TRIGGER_WORDS,
        help_text="Default for a new version: the previous version's.",
    )
    strength = serializers.FloatField(required=False, allow_null=True)
    strength_min = serializers.FloatField(required=False, allow_null=True)
    strength_max = serializers.FloatField(required=False, allow_null=True)


class VersionIn(DetailsIn):
    """Input for a new version."""

    uploads = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=MAX_FILES
    )
    publish = serializers.BooleanField(default=True, help_text="false: keep it as a draft.")


class YankIn(Input):
    """Reason for yanking, which is public."""

    reason = serializers.CharField(max_length=MAX_REASON)


class Versions(Endpoint):
    """Versions of an adapter."""

    @extend_schema(
        operation_id="versions_list",
        tags=["versions"],
        parameters=[PageQuery],
        responses=paging("Version", VersionBriefOut),
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """List versions, newest first; drafts only for those who may publish."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        rows = version_selectors.listing(self.viewer, adapter)
        page, cursor = page_of(rows, key="number", **self.query(PageQuery))
        return paged(self, serialized(VersionBriefOut, page, {"request": request}), cursor)

    @extend_schema(
        operation_id="versions_create",
        tags=["versions"],
        request=VersionIn,
        responses={200: VersionOut, 201: VersionOut},
        examples=[EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str) -> Response:
        """Publish accepted uploads.

        If a version with the same files exists, the response is 200 with that version.
        """
        adapter = adapter_selectors.get(self.viewer, owner, name)
        data = self.body(VersionIn)
        ids, is_to_publish = data.pop("uploads"), data.pop("publish")
        sent, details = upload_selectors.many(self.actor, ids), Details(**data)
        make = publication.release if is_to_publish else publication.create_draft
        version = make(actor=self.actor, adapter=adapter, uploads=sent, details=details)
        return self.answer(VersionOut, version, status=201 if version.is_new else 200)


class VersionView(VersionEndpoint):
    """One version, by `v3`, an alias, a revision or `latest`."""

    @extend_schema(operation_id="versions_get", tags=["versions"], responses=VersionOut)
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Return a version with anatomy, findings, files and previews; `gone` if withdrawn."""
        row = self.version(owner, name, version)
        if row.state == VersionState.WITHDRAWN:
            raise version_selectors.gone(row, version)
        return self.answer(VersionOut, row)

    @extend_schema(
        operation_id="versions_edit", tags=["versions"], request=DetailsIn, responses=VersionOut
    )
    def patch(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Change the details of a version; omitted ones stay. Files never change."""
        row = self.version(owner, name, version)
        changes = self.body(DetailsIn, is_partial=True)

        def change(details: Details) -> Details:
            return dataclasses.replace(details, **changes)

        return self.answer(
            VersionOut, cards.edit_version(actor=self.actor, version=row, details=change)
        )

    @extend_schema(operation_id="versions_discard", tags=["versions"], responses={204: None})
    def delete(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Discard a draft."""
        versions.discard(actor=self.actor, version=self.exact(owner, name, version))
        return Response(status=204)


class Publish(VersionEndpoint):
    """Publication of a draft."""

    @extend_schema(
        operation_id="versions_publish", tags=["versions"], request=None, responses=VersionOut
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Publish a draft, which is final; previews are rendered."""
        row = self.version(owner, name, version)
        return self.answer(VersionOut, publication.publish(actor=self.actor, version=row))


class Yank(VersionEndpoint):
    """Yanking of a version."""

    @extend_schema(
        operation_id="versions_yank", tags=["versions"], request=YankIn, responses=VersionOut
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Yank a version: keep it, but do not recommend it.

        Name the version (`v3`) or its revision: `latest` and aliases are refused, because they
        can point to another version later.
        """
        row = self.exact(owner, name, version)
        row = versions.yank(actor=self.actor, version=row, **self.body(YankIn))
        return self.answer(VersionOut, row)

    @extend_schema(operation_id="versions_restore", tags=["versions"], responses=VersionOut)
    def delete(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Restore a yanked version."""
        row = self.exact(owner, name, version)
        return self.answer(VersionOut, versions.restore(actor=self.actor, version=row))


BYTES = {
    (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The whole file."),
    (206, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The range."),
    304: OpenApiResponse(description="The copy with this ETag is current."),
}
HEADERS = [
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="`bytes=0-1023`"),
    OpenApiParameter(
        "If-Range",
        str,
        OpenApiParameter.HEADER,
        description="ETag of the file that the range belongs to.",
    ),
    OpenApiParameter(
        "If-None-Match", str, OpenApiParameter.HEADER, description="ETag of your copy."
    ),
    OpenApiParameter(
        "If-Match", str, OpenApiParameter.HEADER, description="ETag that the file must have."
    ),
]


class FileView(Endpoint):
    """A file of a version; the ETag is its sha256."""

    @extend_schema(
        operation_id="files_download", tags=["files"], parameters=HEADERS, responses=BYTES
    )
    def get(
        self, request: Request, owner: str, name: str, version: str, path: str
    ) -> HttpResponseBase:
        """Download a file or a range of it; counted when its last byte is sent."""
        served = files.get(self.viewer, owner, name, version, path)
        variant = "" if served.is_primary else served.variant
        saved_as = saved_name(owner, name, served.path, variant)
        return delivery.send(request, served, saved_as, actor=self.viewer)


class WithdrawIn(Input):
    """Reason for a withdrawal, which is public."""

    reason = serializers.CharField(max_length=MAX_REASON)


REASON_EXAMPLE = OpenApiExample(
    "A reason", value={"reason": "Rights of the photographer."}, request_only=True
)


class VersionWithdraw(VersionEndpoint):
    """Withdrawal of a version."""

    @extend_schema(
        operation_id="versions_withdraw",
        tags=["versions"],
        request=WithdrawIn,
        responses=VersionOut,
        examples=[REASON_EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Withdraw a version for good: it answers `gone` (410) with the reason from now on.

        For its owner and for administrators. This cannot be undone. Name the version (`v3`) or
        its revision: `latest` and aliases are refused, because they can point to another version
        later.
        """
        row = self.exact(owner, name, version)
        reason = self.body(WithdrawIn)["reason"]
        row = withdraw.withdraw(actor=self.actor, version=row, reason=reason)
        return self.answer(VersionOut, row)


class AdapterWithdraw(Endpoint):
    """Withdrawal of an adapter."""

    @extend_schema(
        operation_id="adapters_withdraw",
        tags=["adapters"],
        request=WithdrawIn,
        responses=AdapterDetailOut,
        examples=[REASON_EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str) -> Response:
        """Withdraw an adapter for good, with all its versions; its name stays taken.

        For its owner and for administrators. This cannot be undone.
        """
        adapter = adapter_selectors.get(self.viewer, owner, name)
        reason = self.body(WithdrawIn)["reason"]
        adapter = withdraw.withdraw_adapter(actor=self.actor, adapter=adapter, reason=reason)
        return self.answer(AdapterDetailOut, adapter, covers=covers_of([adapter]))
