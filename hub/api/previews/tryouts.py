"""``/tryouts``: pictures of stacks of versions, rendered on request."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import (
    Endpoint,
    Input,
    Link,
    PageQuery,
    ProgressOut,
    page_of,
    paged,
    paging,
    serialized,
)
from hub.api.previews.serializers import PictureOut, PlaceOut
from previews.models import Layer, RenderState, Tryout
from previews.models.render import MAX_STRENGTH
from previews.render.recipe import MAX_PROMPT_CHARACTERS, MAX_SEED, MAX_SIDE
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from previews.tryouts.requests import MAX_LAYERS, TryoutRequest
from registry.models import User, Version
from registry.versions.selectors import version_named

_OUTSIDE = format_lazy(_("Enter a strength from −{limit} to {limit}."), limit=f"{MAX_STRENGTH:g}")


class LayerIn(Input):
    """A version of the stack."""

    adapter = serializers.CharField(max_length=200, help_text="`owner/name`.")
    version = serializers.CharField(
        max_length=120, default="latest", help_text="`v3`, an alias, a revision or `latest`."
    )
    strength = serializers.FloatField(
        default=None,
        allow_null=True,
        min_value=-MAX_STRENGTH,
        max_value=MAX_STRENGTH,
        error_messages={"min_value": _OUTSIDE, "max_value": _OUTSIDE},
        help_text="Multiplier; default: the recommended one.",
    )


class TryoutIn(Input):
    """Input for a try-out; omitted values are the base model's defaults, the seed is random."""

    layers = serializers.ListField(child=LayerIn(), min_length=1, max_length=MAX_LAYERS)
    prompt = serializers.CharField(
        max_length=MAX_PROMPT_CHARACTERS, allow_blank=True, help_text="Without trigger words."
    )
    negative = serializers.CharField(
        max_length=MAX_PROMPT_CHARACTERS, allow_blank=True, allow_null=True, default=None
    )
    seed = serializers.IntegerField(min_value=0, max_value=MAX_SEED, allow_null=True, default=None)
    width = serializers.IntegerField(
        min_value=8, max_value=MAX_SIDE, allow_null=True, default=None,
        help_text="0.5 to 1.5 times the base model's default, a multiple of 8.",
    )  # fmt: skip
    height = serializers.IntegerField(
        min_value=8, max_value=MAX_SIDE, allow_null=True, default=None,
        help_text="Like `width`; width × height is at most 1.5 times the base model's pixels.",
    )  # fmt: skip
    steps = serializers.IntegerField(
        min_value=1, max_value=200, allow_null=True, default=None,
        help_text="At most twice the base model's default.",
    )  # fmt: skip
    triggers = serializers.BooleanField(
        default=True, help_text="Whether to add the stack's trigger words to the prompt."
    )
    compare = serializers.BooleanField(
        default=False, help_text="Also render it without the stack (strength 0)."
    )


class LayerOut(serializers.Serializer[Layer]):
    """A version of the stack."""

    adapter = serializers.CharField(source="version.adapter.full_name")
    version = serializers.CharField(source="version.name")
    strength = serializers.FloatField()


class TryoutOut(serializers.Serializer[Any]):
    """A stack, its recipe, and the pictures that exist."""

    key = serializers.UUIDField(source="tryout.key")
    url = Link(
        lambda found: reverse("tryout", args=[found.tryout.key]),
        help_text="Its page, which others can open once it is shared.",
    )
    state = serializers.ChoiceField(source="previews.state", choices=RenderState.choices)
    reason = serializers.CharField(source="previews.reason", help_text="Why it waits or failed.")
    progress = ProgressOut(
        source="*", read_only=True, help_text="In steps, for all pictures together."
    )
    queue = PlaceOut(
        source="place",
        read_only=True,
        allow_null=True,
        help_text="Null unless it is queued or running.",
    )
    layers = LayerOut(many=True)
    trigger_words = serializers.ListField(
        source="tryout.render.trigger_words",
        child=serializers.CharField(),
        help_text="Trigger words that were inserted into the prompt.",
    )
    recipe = serializers.DictField(source="previews.recipe")
    images = PictureOut(source="previews.images", many=True)
    shared = serializers.BooleanField(source="tryout.is_shared")
    created_at = serializers.DateTimeField(source="tryout.created_at")
    expires_at = serializers.DateTimeField(source="tryout.expires_at")


def _layer(user: User, layer: dict[str, Any]) -> tuple[Version, float]:
    version = version_named(user, f"{layer['adapter']}@{layer['version']}")
    return version, version.dial if layer["strength"] is None else layer["strength"]


class TryoutEndpoint(Endpoint):
    """Base of views that answer with a try-out; ``document`` is its serializer."""

    document: ClassVar[type[serializers.Serializer[Any]]] = TryoutOut

    def tryout_answer(self, tryout: Tryout, *, status: int = 200) -> Response:
        """Return a try-out, with ``Retry-After`` while it is unfinished."""
        found = selectors.shown(tryout)
        response = self.answer(self.document, found, status=status)
        if found.is_open:
            response["Retry-After"] = str(found.look_again_s)
        return response


class Tryouts(TryoutEndpoint):
    """The caller's try-outs."""

    @extend_schema(
        operation_id="tryouts_list",
        tags=["tryouts"],
        parameters=[PageQuery],
        responses=paging("Tryout", TryoutOut),
    )
    def get(self, request: Request) -> Response:
        """List your try-outs that have not expired, newest first."""
        rows, cursor = page_of(selectors.listing(self.signed_in()), **self.query(PageQuery))
        found = [selectors.shown(row) for row in rows]
        return paged(self, serialized(TryoutOut, found, {"request": request}), cursor)

    @extend_schema(
        operation_id="tryouts_create",
        tags=["tryouts"],
        request=TryoutIn,
        responses={202: TryoutOut},
        examples=[
            OpenApiExample(
                "Two of a family",
                value={
                    "layers": [
                        {"adapter": "ada/noir", "version": "v1", "strength": 0.8},
                        {"adapter": "bob/ink", "version": "v2", "strength": 0.6},
                    ],
                    "prompt": "a lighthouse at night",
                    "seed": 7,
                },
                request_only=True,
            )
        ],
    )
    def post(self, _request: Request) -> Response:
        """Request a picture of a stack. Only you can see it until you share it."""
        user = self.signed_in()
        data = self.body(TryoutIn)
        layers = [_layer(user, one) for one in data.pop("layers")]
        uses, compares = data.pop("triggers"), data.pop("compare")
        request = TryoutRequest(layers=layers, uses_triggers=uses, compares=compares, **data)
        tryout = tryouts.create(actor=user, request=request)
        response = self.tryout_answer(selectors.get(user, tryout.key), status=202)
        place = reverse("api-tryout", args=[tryout.key])
        response["Location"] = self.request.build_absolute_uri(place)
        return response


class TryoutView(TryoutEndpoint):
    """One try-out."""

    @extend_schema(operation_id="tryouts_get", tags=["tryouts"], responses=TryoutOut)
    def get(self, _request: Request, key: UUID) -> Response:
        """Return a try-out with its pictures. Poll again after `Retry-After` seconds."""
        return self.tryout_answer(selectors.get(self.viewer, key))

    @extend_schema(operation_id="tryouts_delete", tags=["tryouts"], responses={204: None})
    def delete(self, _request: Request, key: UUID) -> Response:
        """Cancel a try-out and delete its pictures."""
        tryouts.remove(actor=self.actor, key=key)
        return Response(status=204)


class TryoutShare(TryoutEndpoint):
    """Sharing of a try-out."""

    @extend_schema(
        operation_id="tryouts_share", tags=["tryouts"], request=None, responses=TryoutOut
    )
    def post(self, _request: Request, key: UUID) -> Response:
        """Share a try-out with everyone who has its URL and may see its adapters."""
        tryouts.set_shared(actor=self.actor, key=key, is_shared=True)
        return self.tryout_answer(selectors.get(self.viewer, key))

    @extend_schema(operation_id="tryouts_unshare", tags=["tryouts"], responses=TryoutOut)
    def delete(self, _request: Request, key: UUID) -> Response:
        """Stop sharing a try-out."""
        tryouts.set_shared(actor=self.actor, key=key, is_shared=False)
        return self.tryout_answer(selectors.get(self.viewer, key))
