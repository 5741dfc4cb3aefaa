"""``/references``: several versions in one request."""

from __future__ import annotations

from typing import Any

from django.db.models import prefetch_related_objects
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.adapters.views import AdapterOut
from hub.api.base import Endpoint, Input, Query, serialized
from hub.api.versions.serializers import VersionOut
from previews.covers.selectors import covers_of
from previews.lineages.selectors import measured_by_version
from previews.renders.selectors import previews_by_version
from registry.versions import selectors

MAX_REFERENCES = 50
MAX_CHARS = 400

EXAMPLE = OpenApiExample(
    "Two", value={"references": ["studio/noir@v3", "studio/ink"]}, request_only=True
)


class ReferencesIn(Input):
    """References to versions."""

    references = serializers.ListField(
        child=serializers.CharField(max_length=MAX_CHARS),
        min_length=1,
        max_length=MAX_REFERENCES,
        help_text="Each `owner/name@version`; without `@version` the latest.",
    )


class ReferencesQuery(Query):
    """What is returned besides the versions."""

    adapters = serializers.BooleanField(
        default=False, help_text="Also return the adapters of the versions, each once."
    )


class ReferenceOut(serializers.Serializer[Any]):
    """A reference and its version."""

    reference = serializers.CharField(help_text="As requested.")
    version = VersionOut(allow_null=True)


class AdapterCardOut(AdapterOut):
    """An adapter with its card."""

    card = serializers.CharField()


class References(Endpoint):
    """Several references to versions."""

    is_open = True
    throttle_scope = "search"
    throttle_bytes = 1024

    @extend_schema(
        operation_id="references_find",
        tags=["versions"],
        parameters=[ReferencesQuery],
        request=ReferencesIn,
        responses=inline_serializer(
            "ReferencesPage",
            {
                "results": ReferenceOut(many=True),
                "adapters": AdapterCardOut(
                    many=True, required=False, help_text="With `adapters=true` alone."
                ),
            },
        ),
        examples=[EXAMPLE],
    )
    def post(self, _request: Request) -> Response:
        """Return several versions, each as `GET …/versions/{version}` does.

        `version` is null if it does not exist, if you may not see it, or if it was withdrawn,
        blocked or renamed: request it alone to learn why.
        """
        has_adapters = self.query(ReferencesQuery)["adapters"]
        references = self.body(ReferencesIn)["references"]
        found = selectors.many(self.viewer, references)
        versions = list(found.values())
        context = {
            "request": self.request,
            "manifests": selectors.manifests_of(versions),
            "previews": previews_by_version(versions),
            "measured": measured_by_version(versions),
        }
        rows = [{"reference": one, "version": found.get(one)} for one in references]
        page: dict[str, Any] = {"results": serialized(ReferenceOut, rows, context)}
        if has_adapters:
            adapters = list({one.adapter_id: one.adapter for one in versions}.values())
            prefetch_related_objects(adapters, "tags", "latest_version")
            context["covers"] = covers_of(adapters)
            page["adapters"] = serialized(AdapterCardOut, adapters, context)
        return Response(page)
