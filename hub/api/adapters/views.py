"""``/adapters``: searching, creating, editing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
)
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
    TextParameter,
    absolute,
    paged,
    paging,
    serialized,
)
from hub.api.previews.covers import CoverOut, cover_document
from hub.api.versions.serializers import VersionBriefOut
from lorary.anatomy import FAMILIES
from previews.covers.selectors import covers_of
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.adapters.licences import PERMISSIONS, Licence, licence_of
from registry.adapters.selectors import MAX_CHOSEN, SORTS, Query
from registry.adapters.services import LIMITS, MAX_TAGS
from registry.blobs.anatomies import PARTS
from registry.cards import services as cards
from registry.models import Access, Adapter, Kind, Maturity, Visibility
from registry.names import MAX_NAME
from registry.versions import selectors as version_selectors

#: Versions in the document of an adapter; ``/versions`` lists all.
MAX_VERSIONS = 100


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
    latest_version = serializers.CharField(
        source="latest_version.name", allow_null=True, default=None, read_only=True
    )
    trigger_words = serializers.SerializerMethodField()
    cover = serializers.SerializerMethodField()
    cover_picture = serializers.SerializerMethodField(
        help_text="The cover with its sizes; null before the first publication."
    )
    url = Link(lambda adapter: f"/{adapter.full_name}")
    api_url = Link(lambda adapter: reverse("api-adapter", args=[adapter.owner, adapter.name]))
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_tags(self, adapter: Adapter) -> list[str]:
        """Return the tags in order."""
        return sorted(tag.name for tag in adapter.tags.all())

    def get_trigger_words(self, adapter: Adapter) -> list[str]:
        """Return the trigger words of the newest version."""
        return list(adapter.latest_version.trigger_words) if adapter.latest_version else []

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_cover(self, adapter: Adapter) -> str | None:
        """Return the URL of the cover."""
        picture = self.context["covers"].get(adapter.pk)
        if picture is not None:
            return absolute(self.context, picture.url)
        if adapter.latest_version_id is None:
            return None
        return absolute(self.context, f"/media/covers/{adapter.latest_version_id}.svg")

    @extend_schema_field(CoverOut(allow_null=True))
    def get_cover_picture(self, adapter: Adapter) -> dict[str, Any] | None:
        """Return the cover with source and sizes."""
        return cover_document(adapter, self.context["covers"].get(adapter.pk), self.context)


class AdapterFoundOut(AdapterOut):
    """An adapter in the results of a search."""

    snippet = serializers.SerializerMethodField(
        help_text="HTML of the text in which words of `q` occur, marked up; empty without words."
    )

    def get_snippet(self, adapter: Adapter) -> str:
        """Return escaped text with `<mark>`."""
        return str(self.context["snippets"].get(adapter.pk, ""))


class LicenceOut(serializers.Serializer[Licence]):
    """A summary of a licence: `yes`, `no`, `conditions`, or empty if the licence does not say."""

    commercial = serializers.CharField(help_text="Use in commercial products and services.")
    pictures = serializers.CharField(help_text="Sale of pictures made with the adapter.")
    changes = serializers.CharField(help_text="Publication of changed versions and merges.")
    credit = serializers.CharField(help_text="`yes`: the author has to be named.")
    same_terms = serializers.BooleanField(help_text="Changed versions have to keep its terms.")
    url = serializers.CharField(help_text="Address of its text.")


class AdapterDetailOut(AdapterOut):
    """An adapter with card, versions and aliases."""

    card = serializers.CharField()
    licence_permissions = serializers.SerializerMethodField(
        help_text="What the licence allows, in short; null for one that the hub does not know."
    )
    cover_is_chosen = serializers.SerializerMethodField(
        help_text="Whether the owner chose the cover; else it is chosen automatically."
    )
    can_write = serializers.SerializerMethodField(help_text="Whether you may publish here.")
    versions = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()

    @extend_schema_field(LicenceOut(allow_null=True))
    def get_licence_permissions(self, adapter: Adapter) -> Mapping[str, Any] | None:
        """Return the permissions of a known licence."""
        licence = licence_of(adapter.licence)
        return LicenceOut(licence).data if licence else None

    def get_cover_is_chosen(self, adapter: Adapter) -> bool:
        """Return whether the owner chose the cover."""
        picture = self.context["covers"].get(adapter.pk)
        return picture is not None and picture.is_chosen

    def get_can_write(self, adapter: Adapter) -> bool:
        """Return whether the caller may publish versions."""
        user = self.context["request"].user
        return bool(user.is_authenticated and adapter.is_writable_by(user))

    @extend_schema_field(VersionBriefOut(many=True))
    def get_versions(self, adapter: Adapter) -> list[dict[str, Any]]:
        """Return the newest versions."""
        rows = version_selectors.listing(self.context["request"].user, adapter)[:MAX_VERSIONS]
        return serialized(VersionBriefOut, rows, self.context)

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_aliases(self, adapter: Adapter) -> dict[str, str]:
        """Return alias → revision."""
        rows = adapter.aliases.filter(revision__isnull=False).order_by("name")
        return dict(rows.values_list("name", "revision__commit"))


class SearchQuery(PageQuery):
    """Search parameters."""

    repeated = ("tag", "permission")
    q = TextParameter(
        200, "Words that must all occur, phrases, fields and more; see the page on search."
    )
    family = ChoiceParameter(list(FAMILIES), "Base model, such as `sdxl` or `flux1`.")
    kind = ChoiceParameter(Kind.choices)
    tag = serializers.ListField(
        child=serializers.CharField(allow_blank=True, max_length=48),
        default=list,
        max_length=MAX_CHOSEN,
        help_text="Repeat it: all tags must be there.",
    )
    owner = TextParameter(MAX_NAME, "Name of a user or an organisation.")
    sort = ChoiceParameter(list(SORTS), "By default `relevance` with `q`, else `new`.")
    lineage = TextParameter(64, "Model that it was trained on, such as `Pony`.")
    method = TextParameter(32, "Algorithm of the weights, such as `lora`.")
    maturity = ChoiceParameter(Maturity.choices, "Content rating.")
    licence = TextParameter(LIMITS["licence"])
    permission = serializers.ListField(
        child=Choice(choices=list(PERMISSIONS), allow_blank=True),
        default=list,
        max_length=MAX_CHOSEN,
        help_text="What the licence permits, even if only under conditions; repeat it for more.",
    )
    parts = ChoiceParameter(list(PARTS), "Trained parts.")
    trainer = TextParameter(64, "Program in the metadata, such as `OneTrainer`.")
    pictures = serializers.BooleanField(default=False, help_text="Only adapters with pictures.")
    max_maturity = ChoiceParameter(Maturity.choices, "Highest content rating.")


class CardIn(Input):
    """Fields of an adapter's card."""

    title = serializers.CharField(required=False, allow_blank=True, max_length=LIMITS["title"])
    kind = Choice(choices=Kind.choices, required=False)
    summary = serializers.CharField(required=False, allow_blank=True, max_length=LIMITS["summary"])
    card = serializers.CharField(
        required=False, allow_blank=True, max_length=LIMITS["card"], help_text="Markdown."
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=48), required=False, max_length=MAX_TAGS
    )
    licence = serializers.CharField(required=False, allow_blank=True, max_length=LIMITS["licence"])
    maturity = Choice(choices=Maturity.choices, required=False)
    visibility = Choice(choices=Visibility.choices, required=False)
    access = Choice(choices=Access.choices, required=False)


class NewIn(Input):
    """Name of something new, and its owner: by default the caller."""

    name = serializers.CharField(max_length=2 * MAX_NAME, trim_whitespace=False)
    owner = serializers.CharField(required=False, max_length=2 * MAX_NAME)


class RenameIn(Input):
    """A new name, which leaves a redirect behind."""

    name = serializers.CharField(required=False, max_length=2 * MAX_NAME, trim_whitespace=False)


class AdapterIn(CardIn, NewIn):
    """Input for a new adapter."""


class AdapterPatchIn(CardIn, RenameIn):
    """Changes; a new name leaves a redirect behind."""


class Adapters(Endpoint):
    """The catalogue."""

    throttle_scope = "search"

    @extend_schema(
        operation_id="adapters_search",
        tags=["adapters"],
        parameters=[SearchQuery],
        responses=paging(
            "Adapter",
            AdapterFoundOut,
            corrected=serializers.CharField(
                allow_null=True,
                help_text="The corrected `q`, if nothing matched the one asked for.",
            ),
        ),
    )
    def get(self, request: Request) -> Response:
        """Find adapters: public ones and the caller's own, page by page."""
        query = self.query(SearchQuery)
        cursor, limit = query.pop("cursor"), query.pop("limit")
        for name in SearchQuery.repeated:
            query[name] = tuple(filter(None, query[name]))
        page = adapter_selectors.search(self.viewer, Query(**query), cursor=cursor, limit=limit)
        prefetch_related_objects(page.results, "tags")
        context = {
            "request": request,
            "covers": covers_of(page.results),
            "snippets": page.snippets,
        }
        found = serialized(AdapterFoundOut, page.results, context)
        return paged(self, found, page.next_cursor, corrected=page.corrected or None)

    @extend_schema(
        operation_id="adapters_create",
        tags=["adapters"],
        request=AdapterIn,
        responses={201: AdapterDetailOut},
        examples=[
            OpenApiExample(
                "A style",
                value={"name": "noir", "title": "Noir", "kind": "style", "tags": ["film"]},
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Create an adapter without versions; it is public by default."""
        data: dict[str, Any] = self.body(AdapterIn)
        owner = data.pop("owner", None)
        namespace = adapter_selectors.namespace(owner) if owner else None
        adapter = adapters.create(actor=self.actor, owner=namespace, **data)
        return self.answer(AdapterDetailOut, adapter, status=201, covers=covers_of([adapter]))


class AdapterView(Endpoint):
    """One adapter."""

    @extend_schema(operation_id="adapters_get", tags=["adapters"], responses=AdapterDetailOut)
    def get(self, _request: Request, owner: str, name: str) -> Response:
        """Return an adapter with card, versions and aliases; `gone` if all of it was withdrawn."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        if adapter.withdrawn_reason:
            raise adapter_selectors.gone(adapter)
        return self._shown(adapter)

    @extend_schema(
        operation_id="adapters_edit",
        tags=["adapters"],
        request=AdapterPatchIn,
        responses=AdapterDetailOut,
    )
    def patch(self, _request: Request, owner: str, name: str) -> Response:
        """Change card fields; omitted fields stay."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        data: dict[str, Any] = self.body(AdapterPatchIn, is_partial=True)
        new_name = data.pop("name", adapter.name)
        with transaction.atomic():
            adapter = cards.edit_adapter(actor=self.actor, adapter=adapter, **data)
            if new_name != adapter.name:
                adapter = adapters.rename(actor=self.actor, adapter=adapter, name=new_name)
        return self._shown(adapter)

    def _shown(self, adapter: Adapter) -> Response:
        return self.answer(AdapterDetailOut, adapter, covers=covers_of([adapter]))
