"""``/packs/{owner}/{name}/versions``: publishing, yanking, restoring, withdrawing."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.base import Input, PageQuery, page_of, paged, paging, serialized
from hub.api.packs.serializers import PackVersionBriefOut, PackVersionOut, context_of
from hub.api.packs.views import PackEndpoint
from hub.api.versions.views import REASON_EXAMPLE, WithdrawIn, YankIn
from registry.models import PackVersion, VersionState
from registry.packs import publish, states
from registry.packs import selectors as pack_selectors
from registry.packs.publish import MAX_NOTES

EXAMPLE = OpenApiExample(
    "A style in the evening",
    value={
        "notes": "Less grain.",
        "manifest": {
            "variants": [
                {
                    "name": "sdxl",
                    "family": "sdxl",
                    "output": "image",
                    "parts": [
                        {"adapter": "ada/noir", "version": "v3", "strength": 0.8, "role": "style"},
                        {"adapter": "ada/dusk", "strength": 0.6, "role": "lighting"},
                    ],
                    "prompt": "noir style, {prompt}, at dusk",
                    "negative": "blurry",
                    "steps": 30,
                    "width": 1024,
                    "height": 1024,
                }
            ]
        },
    },
    request_only=True,
)


class PackVersionIn(Input):
    """Input for a new version."""

    manifest = serializers.JSONField(
        help_text="Variants with parts, prompt template and settings. Parts may leave out "
        "`version`, `file`, `sha256` and `strength`."
    )
    notes = serializers.CharField(default="", allow_blank=True, max_length=MAX_NOTES)


class PackVersionEndpoint(PackEndpoint):
    """Base of views that answer with a version of a pack."""

    def version(self, owner: str, name: str, version: str) -> PackVersion:
        """Return the version in the URL."""
        return pack_selectors.version(self.pack(owner, name), version)

    def exact(self, owner: str, name: str, version: str) -> PackVersion:
        """Return the version in the URL; refuse names that can move."""
        return pack_selectors.exact_version(self.pack(owner, name), version)

    def answered(self, version: PackVersion, *, status: int = 200) -> Response:
        """Return a response with the document of a version."""
        row = pack_selectors.version(version.pack, version.name)
        context = context_of(self.request, [], row)
        return Response(PackVersionOut(row, context=context).data, status=status)


class PackVersions(PackVersionEndpoint):
    """Versions of a pack."""

    @extend_schema(
        operation_id="pack_versions_list",
        tags=["packs"],
        parameters=[PageQuery],
        responses=paging("PackVersion", PackVersionBriefOut),
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """List versions, newest first."""
        rows = pack_selectors.versions(self.pack(owner, name))
        page, cursor = page_of(rows, key="number", **self.query(PageQuery))
        return paged(self, serialized(PackVersionBriefOut, page, {"request": request}), cursor)

    @extend_schema(
        operation_id="pack_versions_create",
        tags=["packs"],
        request=PackVersionIn,
        responses={200: PackVersionOut, 201: PackVersionOut},
        examples=[EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str) -> Response:
        """Publish a manifest. This is final.

        If a version with the same manifest exists, the response is 200 with that version.
        Faults are named by their JSON path in `fields`, such as `variants[0].parts[1].strength`.
        """
        pack = self.pack(owner, name)
        version = publish.publish(actor=self.actor, pack=pack, **self.body(PackVersionIn))
        return self.answered(version, status=201 if version.is_new else 200)


class PackVersionView(PackVersionEndpoint):
    """One version, by `v3`, an alias or `latest`."""

    @extend_schema(operation_id="pack_versions_get", tags=["packs"], responses=PackVersionOut)
    def get(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Return a version with its variants and parts; `gone` if it was withdrawn."""
        row = self.version(owner, name, version)
        if row.state == VersionState.WITHDRAWN:
            raise pack_selectors.gone_version(row)
        return self.answered(row)


class PackYank(PackVersionEndpoint):
    """Yanking of a version."""

    @extend_schema(
        operation_id="pack_versions_yank", tags=["packs"], request=YankIn, responses=PackVersionOut
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Yank a version: keep it, but do not recommend it.

        Name the version (`v3`): `latest` and aliases are refused, because they can point to
        another version later.
        """
        row = self.exact(owner, name, version)
        return self.answered(states.yank(actor=self.actor, version=row, **self.body(YankIn)))

    @extend_schema(operation_id="pack_versions_restore", tags=["packs"], responses=PackVersionOut)
    def delete(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Restore a yanked version."""
        row = self.exact(owner, name, version)
        return self.answered(states.restore(actor=self.actor, version=row))


class PackVersionWithdraw(PackVersionEndpoint):
    """Withdrawal of a version."""

    @extend_schema(
        operation_id="pack_versions_withdraw",
        tags=["packs"],
        request=WithdrawIn,
        responses=PackVersionOut,
        examples=[REASON_EXAMPLE],
    )
    def post(self, _request: Request, owner: str, name: str, version: str) -> Response:
        """Withdraw a version for good: it answers `gone` (410) with the reason from now on.

        For its owner and for administrators. This cannot be undone. Name the version (`v3`):
        `latest` and aliases are refused, because they can point to another version later.
        """
        row = self.exact(owner, name, version)
        reason = self.body(WithdrawIn)["reason"]
        return self.answered(states.withdraw(actor=self.actor, version=row, reason=reason))
