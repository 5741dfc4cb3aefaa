"""How adapters are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.base import absolute, shown
from hub.api.versions.serializers import VersionBriefOut
from previews.selectors.pictures import cover_of
from registry.models import Access, Adapter, Kind, Maturity, Visibility
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from previews.selectors.pictures import Picture

__all__ = ["AdapterDetailOut", "AdapterOut", "covers_of"]

#: Versions that an adapter's own document lists; the rest is at ``/versions``.
MAX_VERSIONS = 100


def covers_of(adapters: Sequence[Adapter]) -> Mapping[int, Picture | None]:
    """Return adapter id → picture, in one query."""
    return cover_of(adapters)


class AdapterOut(serializers.Serializer[Adapter]):
    """An adapter in a list."""

    id = serializers.IntegerField()
    owner = serializers.CharField()
    name = serializers.CharField()
    full_name = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    summary = serializers.CharField()
    tags = serializers.SerializerMethodField()
    licence = serializers.CharField()
    maturity = serializers.ChoiceField(choices=Maturity.choices)
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    access = serializers.ChoiceField(choices=Access.choices)
    family = serializers.CharField()
    downloads = serializers.IntegerField()
    latest_version = serializers.SerializerMethodField()
    trigger_words = serializers.SerializerMethodField()
    cover = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    api_url = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_tags(self, adapter: Adapter) -> list[str]:
        """Return the tags in order."""
        return sorted(tag.name for tag in adapter.tags.all())

    def get_latest_version(self, adapter: Adapter) -> str | None:
        """Return the newest version that is offered."""
        return adapter.latest_version.name if adapter.latest_version else None

    def get_trigger_words(self, adapter: Adapter) -> list[str]:
        """Return the trigger words of the newest version."""
        return list(adapter.latest_version.trigger_words) if adapter.latest_version else []

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_cover(self, adapter: Adapter) -> str | None:
        """Return a preview, or the cover drawn from the weights."""
        picture = self.context["covers"].get(adapter.pk)
        if picture is not None:
            return absolute(self.context, picture.url)
        if adapter.latest_version_id is None:
            return None
        return absolute(self.context, f"/media/covers/{adapter.latest_version_id}.svg")

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, adapter: Adapter) -> str:
        """Return the page."""
        return absolute(self.context, f"/{adapter.full_name}")

    @extend_schema_field(OpenApiTypes.URI)
    def get_api_url(self, adapter: Adapter) -> str:
        """Return the address of its document."""
        place = [adapter.owner, adapter.name]
        return absolute(self.context, reverse("api-adapter", args=place))


class AdapterDetailOut(AdapterOut):
    """An adapter with card, versions and aliases."""

    card = serializers.CharField()
    can_write = serializers.SerializerMethodField(help_text="Whether you may publish here.")
    versions = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()

    def get_can_write(self, adapter: Adapter) -> bool:
        """Return whether the caller could publish a version, before it sends one."""
        user = self.context["request"].user
        return bool(user.is_authenticated and adapter.is_writable_by(user))

    @extend_schema_field(VersionBriefOut(many=True))
    def get_versions(self, adapter: Adapter) -> list[dict[str, Any]]:
        """Return the newest versions."""
        rows = version_selectors.listing(self.context["request"].user, adapter)[:MAX_VERSIONS]
        return shown(VersionBriefOut, rows, self.context)

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_aliases(self, adapter: Adapter) -> dict[str, str]:
        """Return alias → revision."""
        rows = adapter.aliases.filter(revision__isnull=False).order_by("name")
        return dict(rows.values_list("name", "revision__commit"))
