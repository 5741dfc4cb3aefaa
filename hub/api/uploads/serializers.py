"""Serializers of uploads and their parts."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.base import FindingOut, Input, ProgressOut, absolute
from hub.api.versions.anatomy import AnatomyOut, named
from hub.api.versions.serializers import VersionPlaceOut
from registry import storage
from registry.blobs import selectors as blob_selectors
from registry.models import Upload, UploadPart, UploadState
from registry.names import MAX_PATH
from registry.uploads import parts

#: States in which every byte has arrived.
HERE = {UploadState.CHECKING, UploadState.ACCEPTED}


class UploadIn(Input):
    """An announced file."""

    path = serializers.CharField(max_length=MAX_PATH, trim_whitespace=False)
    size = serializers.IntegerField(min_value=0, max_value=2**62)
    sha256 = serializers.CharField(
        default=None, allow_null=True, max_length=64, help_text="64 hex digits, if known."
    )


class PartOut(serializers.Serializer[UploadPart]):
    """A stored part."""

    number = serializers.IntegerField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.CharField(
        allow_blank=True, help_text="Empty if unknown, as for a part sent through a link."
    )


class LinksIn(Input):
    """Parts to send directly to the bucket."""

    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=parts.LINKS_AT_ONCE
    )


class LinkOut(serializers.Serializer[Any]):
    """URL to PUT a part to: exactly its bytes, without a token."""

    number = serializers.IntegerField()
    url = serializers.URLField()


class LinksOut(serializers.Serializer[Any]):
    """Links that are valid for an hour; none if parts go through the hub."""

    links = LinkOut(many=True)


class UploadUrls(serializers.Serializer[Any]):
    """URLs of the next requests."""

    self = serializers.URLField()
    content = serializers.URLField()
    part = serializers.CharField(help_text="Replace `{number}` with the number of the part.")
    complete = serializers.URLField()
    parts = serializers.URLField(
        help_text="POST here to have the hub look for parts that were sent through links."
    )
    links = serializers.URLField(
        allow_null=True, help_text="POST here to get links; null if parts go through the hub."
    )


class UploadOut(serializers.Serializer[Upload]):
    """A file being received and checked."""

    id = serializers.UUIDField(source="public_id")
    path = serializers.CharField()
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.SerializerMethodField(
        help_text="The announced digest, or the computed one once the hub has it: on receipt of a "
        "whole body, or after the checks of a file sent in parts. Otherwise null."
    )
    state = serializers.ChoiceField(choices=UploadState.choices, source="state_now")
    received = serializers.SerializerMethodField(help_text="Received bytes.")
    part_size = serializers.IntegerField(source="part_bytes")
    parts = PartOut(many=True)
    findings = FindingOut(many=True)
    anatomy = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="Progress of the checks, in bytes.")
    version = serializers.SerializerMethodField(
        help_text="Your version that has these bytes: the first one created after the upload was "
        "announced, or else the oldest; null if there is none."
    )
    adapter = serializers.SerializerMethodField(
        help_text="Your adapter that has these bytes, in a version or in a revision without one, "
        "such as a README.md that was committed alone; null if there is none."
    )
    urls = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_sha256(self, upload: Upload) -> str | None:
        """Return the computed digest, else the declared one."""
        return upload.digest or None

    def get_received(self, upload: Upload) -> int:
        """Return the number of received bytes."""
        return upload.size_bytes if upload.state in HERE else self.arrived(upload)

    def arrived(self, upload: Upload) -> int:
        """Return the bytes of the parts that are here."""
        return sum(part.size_bytes for part in upload.parts.all())

    @extend_schema_field(AnatomyOut(allow_null=True))
    def get_anatomy(self, upload: Upload) -> dict[str, Any] | None:
        """Return the anatomy of accepted weights."""
        return named(blob_selectors.document_of(upload.blob), upload.path)

    @extend_schema_field(ProgressOut)
    def get_progress(self, upload: Upload) -> dict[str, int]:
        """Return how much of the file the checks have read."""
        done = upload.size_bytes if upload.state == UploadState.ACCEPTED else 0
        if upload.state == UploadState.CHECKING:
            done = self.context["progress"].get(upload.pk, 0)
        return {"done": done, "total": upload.size_bytes}

    @extend_schema_field(VersionPlaceOut(allow_null=True))
    def get_version(self, upload: Upload) -> dict[str, Any] | None:
        """Return the version with the file."""
        version = self.context["versions"].get(upload.pk)
        return (
            None if version is None else dict(VersionPlaceOut(version, context=self.context).data)
        )

    def get_adapter(self, upload: Upload) -> str | None:
        """Return the full name of the adapter with the file."""
        version = self.context["versions"].get(upload.pk)
        adapter = self.context["adapters"].get(upload.pk) if version is None else version.adapter
        return None if adapter is None else adapter.full_name

    @extend_schema_field(UploadUrls)
    def get_urls(self, upload: Upload) -> dict[str, str | None]:
        """Return the URLs of this upload."""
        place = absolute(self.context, reverse("api-upload", args=[upload.public_id]))
        return {
            "self": place,
            "content": f"{place}/content",
            "part": f"{place}/parts/{{number}}",
            "complete": f"{place}/complete",
            "parts": f"{place}/parts",
            "links": f"{place}/links" if storage.has_links() else None,
        }


class UploadListed(UploadOut):
    """An upload in a list, with the number of its parts instead of the parts."""

    parts = None  # type: ignore[assignment]  # how a serializer drops what it inherits
    part_count = serializers.IntegerField(help_text="Number of parts of the file.")
    parts_received = serializers.IntegerField(
        source="parts_here", help_text="Number of received parts, until the checks end."
    )

    def arrived(self, upload: Upload) -> int:
        """Return the bytes of the parts that are here, as they were counted for the list."""
        return int(getattr(upload, "arrived", 0))
