"""Serializers of packs, their versions and aliases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, cast

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from hub.api.base import Link, absolute, serialized
from hub.api.previews.covers import cover_document
from hub.api.previews.serializers import BasePreviewsOut
from previews.covers.selectors import covers_of
from previews.packs.selectors import covers_of as pack_covers_of
from previews.packs.selectors import sheets_of
from previews.packs.settings import Settings
from registry.models import (
    LookKind,
    Maturity,
    Output,
    Pack,
    PackAlias,
    PackAliasMove,
    PackPart,
    PackVariant,
    PackVersion,
    PartRole,
    VersionState,
    Visibility,
)
from registry.packs import parts as pack_parts
from registry.packs import selectors as pack_selectors
from registry.packs.parts import Part, PartState, variants_of

#: Versions in the document of a pack; ``/versions`` lists all.
MAX_VERSIONS = 100


def context_of(request: Any, packs: Iterable[Pack], version: PackVersion | None = None) -> Any:  # noqa: ANN401 - DRF's context
    """Return the context of packs that ``selectors.with_lists`` read.

    Args:
        request: The request.
        packs: The packs, each shown with the parts of its latest version.
        version: Shown instead of the latest version, if there is one.
    """
    packs = list(packs)
    shown = [version] if version else [pack.latest_version for pack in packs if pack.latest_version]
    variants = [variant for one in shown for variant in one.variants.all()]
    parts = pack_parts.parts_for(request.user, variants)
    own = pack_covers_of(request.user, packs)
    without = [one.latest_version for one in packs if one.pk not in own]
    first = (pack_parts.first_adapter(one, parts) for one in without)
    adapters = {adapter.pk: adapter for adapter in first if adapter is not None}
    found = {"request": request, "parts": parts, "covers": covers_of(adapters.values())}
    if version is not None:
        rating = pack_parts.rating_of(version.pack, chain.from_iterable(parts.values()))
        found["sheets"] = sheets_of(request.user, version, rating)
    return {**found, "pack_covers": own}


def _place(pack: Pack) -> str:
    return f"/packs/{pack.full_name}"


class PackVariantBriefOut(serializers.Serializer[PackVariant]):
    """A variant in a list."""

    name = serializers.CharField()
    family = serializers.CharField()
    output = serializers.ChoiceField(choices=Output.choices)
    complete = serializers.SerializerMethodField(help_text="Whether you can download all parts.")

    def get_complete(self, variant: PackVariant) -> bool:
        """Return whether the viewer can download all parts."""
        return all(part.is_at_hand for part in self.context["parts"].get(variant.pk, ()))


class PackPartOut(serializers.Serializer[Part]):
    """A part of a variant: an adapter's file. Its names are those of the manifest."""

    adapter = serializers.CharField()
    version = serializers.CharField()
    file = serializers.CharField()
    sha256 = serializers.CharField()
    size = serializers.IntegerField()
    strength = serializers.FloatField()
    role = serializers.ChoiceField(choices=PartRole.choices)
    trigger_words = serializers.ListField(child=serializers.CharField())
    file_variant = serializers.CharField(
        help_text="The file's variant, such as `fp16`; empty for the primary file."
    )
    state = serializers.ChoiceField(
        choices=[(state.value, state.name) for state in PartState],
        help_text="Parts that are `available` or `yanked` can be downloaded.",
    )
    reason = serializers.CharField(help_text="What became of it; empty if it is available.")
    url = serializers.URLField(allow_null=True, help_text="Its page; null if it is `private`.")
    download_url = serializers.URLField(allow_null=True)


def part_document(part: Part, written: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - DRF's context
    """Return a part with what the manifest says of it; a hidden one without its current names."""
    row: PackPart = part.row
    version = row.adapter_version
    names = [version.adapter.owner, version.adapter.name, version.name, row.file.path]
    page = None if part.state is PartState.PRIVATE else f"/{version.adapter.full_name}"
    return {
        **written,
        "size": row.file.size_bytes,
        "trigger_words": list(version.trigger_words) if page else [],
        "file_variant": "" if row.file.is_primary else row.file.variant,
        "state": part.state.value,
        "reason": part.reason,
        "url": absolute(context, f"{page}?v={version.name}") if page else None,
        "download_url": (
            absolute(context, reverse("api-file", args=names)) if part.is_at_hand else None
        ),
    }


class PackVariantOut(PackVariantBriefOut):
    """A variant with its parts and settings; what is null is left to the base model."""

    prompt = serializers.SerializerMethodField(help_text="`{prompt}` stands for the subject.")
    negative = serializers.SerializerMethodField()
    settings = serializers.SerializerMethodField()
    tested_with = serializers.SerializerMethodField()
    rendered_with = serializers.SerializerMethodField(
        help_text="What this hub renders it with, so that others can do the same."
    )
    parts = serializers.SerializerMethodField()
    previews = serializers.SerializerMethodField(
        help_text="Its cover sheet: each subject without (strength 0) and with the pack (1). "
        "Null until a worker serves its base model, and if you cannot see all its parts."
    )

    def _written(self, variant: PackVariant) -> dict[str, Any]:
        manifest = self.context["manifest"]
        return cast("dict[str, Any]", manifest["variants"][variant.position])

    def get_prompt(self, variant: PackVariant) -> str:
        """Return the template of the prompt."""
        return str(self._written(variant)["prompt"])

    def get_negative(self, variant: PackVariant) -> str:
        """Return the negative prompt."""
        return str(self._written(variant)["negative"])

    @extend_schema_field(
        inline_serializer(
            "PackSettings",
            {
                "steps": serializers.IntegerField(allow_null=True),
                "guidance": serializers.FloatField(allow_null=True),
                "width": serializers.IntegerField(allow_null=True),
                "height": serializers.IntegerField(allow_null=True),
                "frames": serializers.IntegerField(allow_null=True),
                "fps": serializers.IntegerField(allow_null=True),
            },
        )
    )
    def get_settings(self, variant: PackVariant) -> dict[str, float | None]:
        """Return steps, guidance and size."""
        written = self._written(variant)
        names = ("steps", "guidance", "width", "height", "frames", "fps")
        return {name: written.get(name) for name in names}

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_tested_with(self, variant: PackVariant) -> dict[str, Any]:
        """Return the recipe that it was tested with."""
        return dict(self._written(variant).get("tested_with", {}))

    @extend_schema_field(
        inline_serializer(
            "PackRenderedWith",
            {
                "base": serializers.CharField(
                    help_text="The base model; empty if this hub has none of the family. "
                    "In that case, settings that the variant leaves out have the family's usual "
                    "values."
                ),
                "steps": serializers.IntegerField(),
                "guidance": serializers.FloatField(),
                "width": serializers.IntegerField(),
                "height": serializers.IntegerField(),
                "frames": serializers.IntegerField(help_text="0 for pictures, like `fps`."),
                "fps": serializers.IntegerField(),
                "negative": serializers.CharField(),
                "sampler": serializers.CharField(
                    help_text="A scheduler class of diffusers; empty for the base model's own."
                ),
                "arguments": serializers.DictField(
                    help_text="Arguments of diffusers' pipeline except the prompt."
                ),
            },
        )
    )
    def get_rendered_with(self, variant: PackVariant) -> dict[str, Any]:
        """Return what this hub renders it with."""
        found: dict[str, Any] = self.context["rendered_with"].of(self._written(variant))
        return found

    @extend_schema_field(PackPartOut(many=True))
    def get_parts(self, variant: PackVariant) -> list[dict[str, Any]]:
        """Return the parts in order."""
        written = self._written(variant)["parts"]
        found = self.context["parts"].get(variant.pk, ())
        return [
            part_document(part, fields, self.context)
            for part, fields in zip(found, written, strict=True)
        ]

    @extend_schema_field(BasePreviewsOut(allow_null=True))
    def get_previews(self, variant: PackVariant) -> Mapping[str, Any] | None:
        """Return the cover sheet and its progress; ``/renders`` has those of adapters only."""
        found = self.context["sheets"].get(variant.name)
        if found is None:
            return None
        return BasePreviewsOut(replace(found, render_id=None), context=self.context).data


class PackVersionBriefOut(serializers.Serializer[PackVersion]):
    """A version of a pack in a list."""

    pack = serializers.CharField(source="pack.full_name")
    version = serializers.CharField(source="name")
    state = serializers.ChoiceField(choices=VersionState.choices)
    reason = serializers.SerializerMethodField(help_text="Why it was yanked or withdrawn.")
    manifest_sha256 = serializers.CharField()
    notes = serializers.CharField()
    author = serializers.CharField(source="author.username")
    url = Link(lambda version: f"{_place(version.pack)}?v={version.name}")
    api_url = Link(
        lambda version: reverse(
            "api-pack-version", args=[version.pack.owner, version.pack.name, version.name]
        )
    )
    published_at = serializers.DateTimeField()
    withdrawn_at = serializers.DateTimeField(allow_null=True)

    def get_reason(self, version: PackVersion) -> str:
        """Return the reason of the state."""
        return version.withdrawn_reason or version.yanked_reason


class PackVersionOut(PackVersionBriefOut):
    """A version with its variants and parts; those of a withdrawn one are gone."""

    variants = serializers.SerializerMethodField()
    manifest = serializers.JSONField(help_text="Its canonical JSON has `manifest_sha256`.")

    @extend_schema_field(PackVariantOut(many=True))
    def get_variants(self, version: PackVersion) -> list[dict[str, Any]]:
        """Return the variants in order."""
        context = {
            **self.context,
            "manifest": version.manifest,
            "rendered_with": Settings(),
        }
        return serialized(PackVariantOut, version.variants.all(), context)


class PackOut(serializers.Serializer[Pack]):
    """A pack in a list."""

    id = serializers.IntegerField()
    owner = serializers.CharField()
    name = serializers.CharField()
    full_name = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=LookKind.choices, help_text="What the look is about.")
    summary = serializers.CharField()
    tags = serializers.SerializerMethodField()
    maturity = serializers.SerializerMethodField(
        help_text="Content rating: the owner's, or a part's if that is higher."
    )
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    cover = serializers.SerializerMethodField()
    latest_version = serializers.CharField(
        source="latest_version.name", allow_null=True, default=None, read_only=True
    )
    variants = serializers.SerializerMethodField()
    url = Link(_place)
    api_url = Link(lambda pack: reverse("api-pack", args=[pack.owner, pack.name]))
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True)

    def get_tags(self, pack: Pack) -> list[str]:
        """Return the tags in order."""
        return sorted(tag.name for tag in pack.tags.all())

    @extend_schema_field(serializers.ChoiceField(choices=Maturity.choices))
    def get_maturity(self, pack: Pack) -> str:
        """Return the rating with the parts."""
        parts = (self.context["parts"][one.pk] for one in variants_of(pack.latest_version))
        return pack_parts.rating_of(pack, chain.from_iterable(parts)).value

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_cover(self, pack: Pack) -> str | None:
        """Return the URL of a picture with the pack, else of the first part's cover, or null."""
        own = self.context["pack_covers"].get(pack.pk)
        if own is not None:
            return absolute(self.context, own.url)
        adapter = pack_parts.first_adapter(pack.latest_version, self.context["parts"])
        if adapter is None:
            return None
        cover = cover_document(adapter, self.context["covers"].get(adapter.pk), self.context)
        return str(cover["url"]) if cover else None

    @extend_schema_field(PackVariantBriefOut(many=True))
    def get_variants(self, pack: Pack) -> list[dict[str, Any]]:
        """Return the variants of the latest version."""
        return serialized(PackVariantBriefOut, variants_of(pack.latest_version), self.context)


class PackDetailOut(PackOut):
    """A pack with card, versions and aliases."""

    card = serializers.CharField()
    can_write = serializers.SerializerMethodField(help_text="Whether you may publish here.")
    versions = serializers.SerializerMethodField(help_text="The newest ones.")
    aliases = serializers.SerializerMethodField()

    def get_can_write(self, pack: Pack) -> bool:
        """Return whether the caller may publish versions."""
        user = self.context["request"].user
        return bool(user.is_authenticated and pack.is_writable_by(user))

    @extend_schema_field(PackVersionBriefOut(many=True))
    def get_versions(self, pack: Pack) -> list[dict[str, Any]]:
        """Return the newest versions."""
        rows = pack_selectors.versions(pack)[:MAX_VERSIONS]
        return serialized(PackVersionBriefOut, rows, self.context)

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_aliases(self, pack: Pack) -> dict[str, str]:
        """Return alias → version."""
        rows = pack_selectors.aliases(pack)
        return {alias.name: alias.version.name for alias in rows if alias.version}


class PackAliasOut(serializers.Serializer[PackAlias]):
    """An alias and its version, which may have been withdrawn."""

    name = serializers.CharField()
    version = serializers.CharField(source="version.name")
    state = serializers.ChoiceField(source="version.state", choices=VersionState.choices)
    moved_at = serializers.DateTimeField(source="updated_at")
    moved_by = serializers.CharField(source="mover")


class PackMoveOut(serializers.Serializer[PackAliasMove]):
    """A move; `before` is null if the alias was created, `after` if it was removed."""

    moved_at = serializers.DateTimeField(source="created_at")
    moved_by = serializers.CharField(source="actor.username")
    before = serializers.CharField(source="before.name", allow_null=True, default=None)
    after = serializers.CharField(source="after.name", allow_null=True, default=None)
