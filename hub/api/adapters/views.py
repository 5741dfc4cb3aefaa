"""``/adapters``: searching, creating, editing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers

from hub.api.adapters.serializers import AdapterDetailOut, AdapterOut, covers_of
from hub.api.base import Endpoint, Input, shown
from hub.api.choices import Choice
from hub.api.pagination import PAGING, PageQuery, paged, paging
from lorary.anatomy import FAMILIES
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.adapters.selectors import SORTS, Query
from registry.adapters.services import LIMITS, MAX_TAGS
from registry.models import Access, Adapter, Kind, Maturity, Visibility
from registry.names import MAX_NAME

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

__all__ = ["AdapterIn", "AdapterPatchIn", "AdapterView", "Adapters", "SearchQuery"]


class SearchQuery(PageQuery):
    """What somebody looks for."""

    q = serializers.CharField(default="", allow_blank=True, max_length=200)
    family = Choice(choices=list(FAMILIES), default="", allow_blank=True)
    kind = Choice(choices=Kind.choices, default="", allow_blank=True)
    tag = serializers.CharField(default="", allow_blank=True, max_length=48)
    owner = serializers.CharField(default="", allow_blank=True, max_length=MAX_NAME)
    sort = Choice(choices=list(SORTS), default="new")


SEARCH = [
    OpenApiParameter("q", str, description="Words that all occur in name, title, tags, triggers."),
    OpenApiParameter("family", str, description="Base model, such as `sdxl` or `flux1`."),
    OpenApiParameter("kind", str, enum=Kind.values),
    OpenApiParameter("tag", str),
    OpenApiParameter("owner", str, description="Name of a user or an organisation."),
    OpenApiParameter("sort", str, enum=list(SORTS), default="new"),
]


class _CardIn(Input):
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


class AdapterIn(_CardIn):
    """An adapter to be."""

    name = serializers.CharField(max_length=2 * MAX_NAME, trim_whitespace=False)
    owner = serializers.CharField(required=False, max_length=2 * MAX_NAME)


class AdapterPatchIn(_CardIn):
    """Changes; a new name leaves a redirect behind."""

    name = serializers.CharField(required=False, max_length=2 * MAX_NAME, trim_whitespace=False)


class Adapters(Endpoint):
    """The catalogue."""

    throttle_scope = "search"

    @extend_schema(
        operation_id="adapters_search",
        tags=["adapters"],
        parameters=[*SEARCH, *PAGING],
        responses=paging("Adapter", AdapterOut),
    )
    def get(self, request: Request) -> Response:
        """Find adapters: public ones and the caller's own, page by page."""
        asked = self.asked(SearchQuery)
        cursor, limit = asked.pop("cursor"), asked.pop("limit")
        page = adapter_selectors.search(self.viewer, Query(**asked), cursor=cursor, limit=limit)
        context = {"request": request, "covers": covers_of(page.results)}
        return paged(self, shown(AdapterOut, page.results, context), page.next_cursor)

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
        """Create an adapter without versions; public unless told otherwise."""
        asked: dict[str, Any] = self.said(AdapterIn)
        owner = asked.pop("owner", None)
        namespace = adapter_selectors.namespace(owner) if owner else None
        adapter = adapters.create(actor=self.actor, owner=namespace, **asked)
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
        """Change card fields; what is left out stays."""
        adapter = adapter_selectors.get(self.viewer, owner, name)
        asked: dict[str, Any] = self.said(AdapterPatchIn, is_partial=True)
        new_name = asked.pop("name", adapter.name)
        with transaction.atomic():
            adapter = adapters.update(actor=self.actor, adapter=adapter, **asked)
            if new_name != adapter.name:
                adapter = adapters.rename(actor=self.actor, adapter=adapter, name=new_name)
        return self._shown(adapter)

    def _shown(self, adapter: Adapter) -> Response:
        return self.answer(AdapterDetailOut, adapter, covers=covers_of([adapter]))
