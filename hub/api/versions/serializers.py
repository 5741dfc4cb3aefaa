"""Serializers of versions and their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.base import FindingOut, Link, absolute, serialized
from hub.api.previews.serializers import PreviewsOut
from hub.api.versions.anatomy import VersionAnatomyOut, named
from previews.lineages.selectors import measured_of, with_measured
from previews.renders.selectors import previews_of
from registry.lineages import selectors as lineages
from registry.models import File, FileRole, Version, VersionState
from registry.versions import selectors as version_selectors


class StrengthOut(serializers.Serializer[Version]):
    """The strengths that the author recommends."""

    recommended = serializers.FloatField(source="strength", allow_null=True)
    min = serializers.FloatField(source="strength_min", allow_null=True)
    max = serializers.FloatField(source="strength_max", allow_null=True)


class FileOut(serializers.Serializer[File]):
    """A file of a version."""

    id = serializers.IntegerField()
    path = serializers.CharField()
    role = serializers.ChoiceField(choices=FileRole.choices)
    variant = serializers.CharField(
        help_text="`high-noise` or `low-noise`: halves of a pair for Wan 2.2. `epoch-4`, "
        "`step-500` or `final`: checkpoints of one run. Empty otherwise."
    )
    size = serializers.IntegerField(source="size_bytes")
    sha256 = serializers.CharField()
    hashes = serializers.DictField(
        source="blob.hashes",
        child=serializers.CharField(),
        help_text="Hashes of the weights: autov1, autov2, autov3, crc32 (as zlib writes it), "
        "blake3, data_sha256 (after the header), tensors (in any order, by any name), "
        "weights_f16 and weights_bf16 (also in another number format).",
    )
    claimed_hashes = serializers.DictField(
        source="blob.claimed_hashes",
        child=serializers.CharField(),
        help_text="Hashes that the metadata of the weights claims, by metadata key; not verified.",
    )
    primary = serializers.BooleanField(source="is_primary")
    download_url = serializers.SerializerMethodField()

    @extend_schema_field(OpenApiTypes.URI)
    def get_download_url(self, file: File) -> str:
        """Return the URL of the download."""
        version: Version = self.context["version"]
        place = [version.adapter.owner, version.adapter.name, version.name, file.path]
        return absolute(self.context, reverse("api-file", args=place))


def _page(version: Version) -> str:
    return f"/{version.adapter.full_name}?v={version.name}"


def _document(version: Version) -> str:
    return reverse("api-version", args=[version.adapter.owner, version.adapter.name, version.name])


class VersionPlaceOut(serializers.Serializer[Version]):
    """A version, as a reference."""

    adapter = serializers.CharField(source="adapter.full_name")
    version = serializers.CharField(source="name")
    state = serializers.ChoiceField(choices=VersionState.choices)
    url = Link(_page)
    api_url = Link(_document)


class VersionBriefOut(serializers.Serializer[Version]):
    """A version in a list."""

    id = serializers.IntegerField()
    adapter = serializers.CharField(source="adapter.full_name")
    version = serializers.CharField(source="name")
    label = serializers.CharField()  # type: ignore[assignment]  # a field, not Field.label
    state = serializers.ChoiceField(choices=VersionState.choices)
    reason = serializers.SerializerMethodField(help_text="Why the version was yanked or withdrawn.")
    revision = serializers.CharField(source="revision.commit")
    notes = serializers.CharField()
    family = serializers.CharField(
        help_text="Shown by the tensors, else declared by the author, else claimed by the metadata."
    )
    lineage = serializers.CharField()
    rank = serializers.IntegerField(allow_null=True)
    algorithm = serializers.CharField()
    trigger_words = serializers.ListField(child=serializers.CharField())
    optional_trigger_words = serializers.ListField(
        child=serializers.CharField(),
        help_text="Words that change the effect; the adapter also works without them.",
    )
    strength = StrengthOut(source="*")
    size = serializers.IntegerField(source="size_bytes")
    downloads = serializers.IntegerField()
    author = serializers.CharField(source="author.username")
    url = Link(_page)
    api_url = Link(_document)
    created_at = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)

    def get_reason(self, version: Version) -> str:
        """Return the reason of the state."""
        return version.withdrawn_reason or version.yanked_reason


class OfFileOut(serializers.Serializer[Any]):
    """A file of a version, and the version."""

    version = VersionBriefOut()
    file = serializers.SerializerMethodField()

    @extend_schema_field(FileOut)
    def get_file(self, found: Any) -> dict[str, Any]:  # noqa: ANN401 - anything with both
        """Return the file."""
        context = {**self.context, "version": found.version}
        return dict(FileOut(found.file, context=context).data)


class VersionOut(VersionBriefOut):
    """A version with all details.

    For several versions, the context can have what was read for all of them: ``manifests``, see
    ``version_selectors.manifests_of``, ``previews``, see ``previews_by_version``, and ``measured``,
    see ``measured_by_version``.
    """

    anatomy = serializers.SerializerMethodField(help_text="Of the primary file.")
    findings = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()
    previews = serializers.SerializerMethodField()

    def to_representation(self, version: Version) -> dict[str, Any]:
        """Serialize the version; the manifest is read once for all fields."""
        manifests = self.context.get("manifests")
        self._manifest: list[File] = list(
            version.files if manifests is None else manifests.get(version.revision_id, [])
        )
        return super().to_representation(version)

    def _primary(self) -> File | None:
        return next((file for file in self._manifest if file.is_primary), None)

    @extend_schema_field(VersionAnatomyOut(allow_null=True))
    def get_anatomy(self, version: Version) -> Mapping[str, Any] | None:
        """Return the anatomy, with the owner's declaration."""
        primary = self._primary()
        found = named(
            version_selectors.document_of(version, primary), primary.path if primary else ""
        )
        if found is None:
            return None
        read = self.context.get("measured")
        measured = measured_of(version) if read is None else read.get(version.pk)
        document = with_measured(lineages.with_known(found), measured)
        base = {**document["base"], "declared": version.declared_family or None}
        return {**document, "base": base}

    @extend_schema_field(FindingOut(many=True))
    def get_findings(self, version: Version) -> list[dict[str, Any]]:
        """Return findings; informational and private ones only to those who may write."""
        user = self.context["request"].user
        is_own = user.is_authenticated and version.adapter.is_writable_by(user)
        found = version_selectors.findings_of(version, self._primary(), is_owner=is_own)
        return serialized(FindingOut, found)

    @extend_schema_field(FileOut(many=True))
    def get_files(self, version: Version) -> list[dict[str, Any]]:
        """Return the manifest."""
        context = {**self.context, "version": version}
        return serialized(FileOut, self._manifest, context)

    @extend_schema_field(PreviewsOut)
    def get_previews(self, version: Version) -> Mapping[str, Any]:
        """Return the previews and their progress."""
        read = self.context.get("previews")
        found = previews_of(version) if read is None else read[version.pk]
        return PreviewsOut(found, context=self.context).data
