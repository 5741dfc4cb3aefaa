"""``/packs/{owner}/{name}/try``: a subject in the look of a pack, also without an account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Input, Link
from hub.api.packs.views import PackEndpoint
from hub.api.previews.tryouts import TryoutEndpoint
from hub.http.callers import address_of
from previews.models import RenderState
from previews.pictures.selectors import Picture
from previews.render.recipe import MAX_PROMPT_CHARACTERS, MAX_SEED
from previews.tryouts import packs as pack_tryouts
from previews.tryouts import selectors
from previews.tryouts.packs import PackTryoutRequest
from previews.tryouts.selectors import TryoutStatus
from registry.packs import selectors as pack_selectors


class PackTryIn(Input):
    """Input for a try-out of a pack."""

    prompt = serializers.CharField(
        max_length=MAX_PROMPT_CHARACTERS, allow_blank=True, help_text="The subject alone."
    )
    seed = serializers.IntegerField(
        min_value=0, max_value=MAX_SEED, allow_null=True, default=None,
        help_text="Default: a random one.",
    )  # fmt: skip
    variant = serializers.CharField(
        max_length=48, allow_blank=True, default="",
        help_text="Default: the first one that this hub renders, pictures before videos.",
    )  # fmt: skip
    version = serializers.CharField(
        max_length=96, default=pack_selectors.LATEST, help_text="`v3`, an alias or `latest`."
    )


class PackTryPictureOut(serializers.Serializer[Picture]):
    """A picture or video of a try-out."""

    url = Link(lambda picture: picture.animation or picture.url)
    with_pack = serializers.BooleanField(
        source="strength", help_text="False: the subject alone, with the same seed."
    )
    seed = serializers.IntegerField()
    media_type = serializers.CharField(help_text="`image/png` or `video/mp4`.")


class PackTryOut(serializers.Serializer[TryoutStatus]):
    """A try-out of a pack and the pictures that exist."""

    id = serializers.UUIDField(source="tryout.key")
    state = serializers.ChoiceField(source="previews.state", choices=RenderState.choices)
    reason = serializers.CharField(
        source="previews.reason", required=False, help_text="Why it waits or failed."
    )
    position = serializers.IntegerField(
        source="place.ahead", required=False, help_text="Jobs before it, while it is queued."
    )
    url = Link(lambda found: reverse("api-pack-tryout", args=[found.tryout.key]))
    page_url = Link(lambda found: reverse("pack-tryout", args=[found.tryout.key]))
    pack = serializers.CharField(source="tryout.pack_version.pack.full_name")
    version = serializers.CharField(source="tryout.pack_version.name")
    variant = serializers.CharField(source="tryout.variant")
    prompt = serializers.CharField(source="tryout.subject")
    seed = serializers.IntegerField()
    images = PackTryPictureOut(source="previews.images", many=True)
    expires_at = serializers.DateTimeField(source="tryout.expires_at")

    def to_representation(self, instance: TryoutStatus) -> dict[str, Any]:
        """Return the document without ``reason`` and ``position`` where there is none."""
        document = super().to_representation(instance)
        absent = {
            "reason": not instance.previews.reason,
            "position": instance.previews.state != RenderState.QUEUED,
        }
        return {name: value for name, value in document.items() if not absent.get(name)}


class PackTry(PackEndpoint, TryoutEndpoint):
    """Trying a pack."""

    is_open = True
    document = PackTryOut

    @extend_schema(
        operation_id="packs_try",
        tags=["packs"],
        request=PackTryIn,
        responses={202: PackTryOut},
        examples=[
            OpenApiExample(
                "A subject", value={"prompt": "a lighthouse", "seed": 7}, request_only=True
            )
        ],
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Request a picture of a subject with the pack's look and one without; no account needed.

        Without an account, the number of requests per hour from one network address is limited.
        """
        pack = self.pack(owner, name)
        data = self.body(PackTryIn)
        variants = pack_selectors.variants_to_try(pack, data["version"])
        tryout = pack_tryouts.create(
            actor=self.viewer,
            request=PackTryoutRequest(
                variant=pack_tryouts.variant_of(self.viewer, variants, data["variant"]),
                subject=data["prompt"],
                seed=data["seed"],
                address=address_of(request),
            ),
        )
        response = self.tryout_answer(selectors.get(self.viewer, tryout.key), status=202)
        response["Location"] = response.data["url"]
        return response


class PackTryoutView(TryoutEndpoint):
    """One try-out of a pack."""

    is_open = True
    document = PackTryOut

    @extend_schema(operation_id="packs_tryout_get", tags=["packs"], responses=PackTryOut)
    def get(self, _request: Request, key: UUID) -> Response:
        """Return a try-out with its pictures. Poll again after `Retry-After` seconds."""
        return self.tryout_answer(selectors.of_pack(self.viewer, key))

    @extend_schema(operation_id="packs_tryout_delete", tags=["packs"], responses={204: None})
    def delete(self, _request: Request, key: UUID) -> Response:
        """Cancel a try-out and delete its pictures.

        Everyone who knows the URL can cancel one that was requested without an account.
        """
        pack_tryouts.remove(actor=self.viewer, key=key)
        return Response(status=204)
