"""URLs below ``/api/v1/`` (``v1``), and the rest of ``/api/``: ``openapi.json``, ``docs``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularYAMLAPIView

from hub.api.accounts.views import Me, Tokens, TokenView
from hub.api.adapters.aliases import Aliases, AliasHistory, AliasView
from hub.api.adapters.file_names import FileNames
from hub.api.adapters.hashes import Hashes, HashView
from hub.api.adapters.views import Adapters, AdapterView
from hub.api.base import ApiNotFound
from hub.api.docs import KeptGenerator, docs
from hub.api.packs.aliases import PackAliases, PackAliasHistory, PackAliasView
from hub.api.packs.exports import PackExport
from hub.api.packs.reports import PackReport
from hub.api.packs.tryouts import PackTry, PackTryoutView
from hub.api.packs.versions import PackVersions, PackVersionView, PackVersionWithdraw, PackYank
from hub.api.packs.views import Packs, PackView, PackWithdraw
from hub.api.previews.covers import CoverView
from hub.api.previews.gallery import SampleView, VersionSamples
from hub.api.previews.renders import (
    PictureView,
    RecipeView,
    RenderView,
    VersionRenders,
    Workers,
    WorkerView,
)
from hub.api.previews.reports import VersionReport
from hub.api.previews.tryouts import Tryouts, TryoutShare, TryoutView
from hub.api.uploads.inspect import Inspect
from hub.api.uploads.views import (
    Complete,
    Content,
    Links,
    Part,
    Parts,
    Uploads,
    UploadView,
)
from hub.api.versions.comparison import Compare
from hub.api.versions.derived import DerivedConfig, DerivedContent, DerivedFiles, DerivedView
from hub.api.versions.references import References
from hub.api.versions.relatives import Relatives, VersionRelatives
from hub.api.versions.views import (
    AdapterWithdraw,
    FileView,
    Publish,
    Versions,
    VersionView,
    VersionWithdraw,
    Yank,
)

ADAPTER = "adapters/<str:owner>/<str:name>"
VERSION = "adapters/<str:owner>/<str:name>/versions/<str:version>"
PACK = "packs/<str:owner>/<str:name>"
PACK_VERSION = f"{PACK}/versions/<str:version>"

v1: list[URLPattern] = [
    path(f"{VERSION}/files/<path:path>", FileView.as_view(), name="api-file"),
    path(f"{VERSION}/derived", DerivedFiles.as_view(), name="api-derived"),
    path(f"{VERSION}/derived/<str:variant>", DerivedView.as_view(), name="api-derived-one"),
    path(
        f"{VERSION}/derived/<str:variant>/file", DerivedContent.as_view(), name="api-derived-file"
    ),
    path(
        f"{VERSION}/derived/<str:variant>/config",
        DerivedConfig.as_view(),
        name="api-derived-config",
    ),
    path("me", Me.as_view(), name="api-me"),
    path("inspect", Inspect.as_view(), name="api-inspect"),
    path("tokens", Tokens.as_view(), name="api-tokens"),
    path("tokens/<int:token_id>", TokenView.as_view(), name="api-token"),
    path("uploads", Uploads.as_view(), name="api-uploads"),
    path("uploads/<uuid:upload_id>", UploadView.as_view(), name="api-upload"),
    path("uploads/<uuid:upload_id>/content", Content.as_view(), name="api-upload-content"),
    path("uploads/<uuid:upload_id>/parts/<int:number>", Part.as_view(), name="api-upload-part"),
    path("uploads/<uuid:upload_id>/parts", Parts.as_view(), name="api-upload-parts"),
    path("uploads/<uuid:upload_id>/links", Links.as_view(), name="api-upload-links"),
    path("uploads/<uuid:upload_id>/complete", Complete.as_view(), name="api-upload-complete"),
    path("adapters", Adapters.as_view(), name="api-adapters"),
    path("adapters/<str:owner>/<str:name>", AdapterView.as_view(), name="api-adapter"),
    path("adapters/<str:owner>/<str:name>/recipe", RecipeView.as_view(), name="api-recipe"),
    path(f"{ADAPTER}/cover", CoverView.as_view(), name="api-cover"),
    path(f"{ADAPTER}/withdraw", AdapterWithdraw.as_view(), name="api-adapter-withdraw"),
    path(f"{ADAPTER}/aliases", Aliases.as_view(), name="api-aliases"),
    path(f"{ADAPTER}/aliases/<path:alias>/history", AliasHistory.as_view(), name="api-alias-moves"),
    path(f"{ADAPTER}/aliases/<path:alias>", AliasView.as_view(), name="api-alias"),
    path("adapters/<str:owner>/<str:name>/versions", Versions.as_view(), name="api-versions"),
    path(VERSION, VersionView.as_view(), name="api-version"),
    path(f"{VERSION}/publish", Publish.as_view(), name="api-version-publish"),
    path(f"{VERSION}/yank", Yank.as_view(), name="api-version-yank"),
    path(f"{VERSION}/withdraw", VersionWithdraw.as_view(), name="api-version-withdraw"),
    path(f"{VERSION}/renders", VersionRenders.as_view(), name="api-version-renders"),
    path(f"{VERSION}/report", VersionReport.as_view(), name="api-version-report"),
    path(f"{VERSION}/relatives", VersionRelatives.as_view(), name="api-version-relatives"),
    path(f"{VERSION}/samples", VersionSamples.as_view(), name="api-samples"),
    path("packs", Packs.as_view(), name="api-packs"),
    path("packs/try/<uuid:key>", PackTryoutView.as_view(), name="api-pack-tryout"),
    path(PACK, PackView.as_view(), name="api-pack"),
    path(f"{PACK}/try", PackTry.as_view(), name="api-pack-try"),
    path(f"{PACK}/withdraw", PackWithdraw.as_view(), name="api-pack-withdraw"),
    path(f"{PACK}/aliases", PackAliases.as_view(), name="api-pack-aliases"),
    path(
        f"{PACK}/aliases/<path:alias>/history",
        PackAliasHistory.as_view(),
        name="api-pack-alias-moves",
    ),
    path(f"{PACK}/aliases/<path:alias>", PackAliasView.as_view(), name="api-pack-alias"),
    path(f"{PACK}/versions", PackVersions.as_view(), name="api-pack-versions"),
    path(PACK_VERSION, PackVersionView.as_view(), name="api-pack-version"),
    path(f"{PACK_VERSION}/export", PackExport.as_view(), name="api-pack-export"),
    path(f"{PACK_VERSION}/report", PackReport.as_view(), name="api-pack-report"),
    path(f"{PACK_VERSION}/yank", PackYank.as_view(), name="api-pack-yank"),
    path(
        f"{PACK_VERSION}/withdraw", PackVersionWithdraw.as_view(), name="api-pack-version-withdraw"
    ),
    path("hashes", Hashes.as_view(), name="api-hashes"),
    path("hashes/<str:value>", HashView.as_view(), name="api-hash"),
    path("compare", Compare.as_view(), name="api-compare"),
    path("relatives", Relatives.as_view(), name="api-relatives"),
    path("references", References.as_view(), name="api-references"),
    path("file-names", FileNames.as_view(), name="api-file-names"),
    path("tryouts", Tryouts.as_view(), name="api-tryouts"),
    path("tryouts/<uuid:key>", TryoutView.as_view(), name="api-tryout"),
    path("tryouts/<uuid:key>/share", TryoutShare.as_view(), name="api-tryout-share"),
    path("samples/<int:sample_id>", SampleView.as_view(), name="api-sample"),
    path("pictures/<int:image_id>", PictureView.as_view(), name="api-picture"),
    path("renders/<int:render_id>", RenderView.as_view(), name="api-render"),
    path("workers", Workers.as_view(), name="api-workers"),
    path("workers/<int:worker_id>", WorkerView.as_view(), name="api-worker"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "openapi.json",
        SpectacularJSONAPIView.as_view(generator_class=KeptGenerator),
        name="api-openapi-json",
    ),
    path(
        "openapi.yaml",
        SpectacularYAMLAPIView.as_view(generator_class=KeptGenerator),
        name="api-openapi-yaml",
    ),
    path("docs", docs, name="api-docs"),
    re_path(r"\A.*\Z", ApiNotFound.as_view(), name="api-not-found"),
]
