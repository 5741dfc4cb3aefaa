"""URLs of the pages; ``/{owner}`` and those below it come last."""

from __future__ import annotations

from collections.abc import Callable

from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from hub.http.throttles import CoverThrottle, DrawnImageThrottle
from hub.pages.accounts import device_login, organisations, second_factor, tokens, views
from hub.pages.accounts import views as accounts
from hub.pages.adapters import aliases, derived, edits, versions
from hub.pages.adapters import views as adapters
from hub.pages.catalogue import checkpoint, crawlers, related
from hub.pages.catalogue import views as catalogue
from hub.pages.comparison import views as comparison
from hub.pages.errors import page
from hub.pages.help import client, guides, licences, styleguide, usage
from hub.pages.mixer import packs as mixer_packs
from hub.pages.mixer import views as mixer
from hub.pages.operator import accounts as operator_accounts
from hub.pages.operator import audit, blocks
from hub.pages.operator import workers as operator
from hub.pages.packs import aliases as pack_aliases
from hub.pages.packs import edits as pack_edits
from hub.pages.packs import publishing as pack_publishing
from hub.pages.packs import tryouts as pack_tryouts
from hub.pages.packs import versions as pack_versions
from hub.pages.packs import views as packs
from hub.pages.pictures import (
    covers,
    gallery,
    media,
    previews,
    reports,
    resolve,
)
from hub.pages.publishing import uploads
from hub.pages.publishing import views as publish


def _moved(name: str) -> Callable[..., HttpResponseBase]:
    """Return a view that redirects an earlier address for good, with its query."""
    return RedirectView.as_view(pattern_name=name, permanent=True, query_string=True)


OF_ADAPTER = [
    path("edit", page(edits.edit), name="adapter-edit"),
    path("recipe", page(previews.recipe), name="adapter-recipe"),
    path("report", page(reports.show), name="adapter-report"),
    path("related", page(related.show), name="adapter-related"),
    path("compare", page(comparison.of_adapter), name="adapter-compare"),
    path("cover", page(covers.choose), name="adapter-cover"),
    path("rating", page(previews.rate), name="picture-rating"),
    path("gallery", page(gallery.gallery), name="gallery"),
    path("gallery/<int:sample_id>", page(gallery.item), name="gallery-item"),
    path("previews", page(previews.previews), name="adapter-previews"),
    path("aliases", page(aliases.index), name="aliases"),
    path("aliases/<path:alias>/remove", page(aliases.remove), name="alias-remove"),
    path("withdraw", page(versions.withdraw), name="adapter-withdraw"),
    path("block", page(blocks.adapter), name="adapter-block"),
]
OF_VERSION = [
    path("withdraw", page(versions.withdraw), name="version-withdraw"),
    path("publish", page(versions.decide), name="version-publish"),
    path("edit", page(versions.edit), name="version-edit"),
    path("yank", page(versions.yank), name="version-yank"),
    path("derived", page(derived.begin), name="version-derived"),
    path("derived/<str:variant>", page(derived.show), name="version-derived-one"),
]

OF_PACK = [
    path("edit", page(pack_edits.edit), name="pack-edit"),
    path("sheets", page(pack_versions.render_again), name="pack-sheets"),
    path("publish", page(pack_publishing.publish), name="pack-publish"),
    path("aliases", page(pack_aliases.index), name="pack-aliases"),
    path("aliases/<path:alias>/remove", page(pack_aliases.remove), name="pack-alias-remove"),
    path("withdraw", page(pack_versions.withdraw), name="pack-withdraw"),
    path("block", page(blocks.pack), name="pack-block"),
    path(
        "versions/<str:version>/withdraw",
        page(pack_versions.withdraw),
        name="pack-version-withdraw",
    ),
    path("versions/<str:version>/yank", page(pack_versions.yank), name="pack-version-yank"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page(catalogue.home), name="home"),
    path("browse", page(catalogue.browse), name="browse"),
    path("browse/checkpoint", page(checkpoint.picker), name="checkpoint"),
    path(
        "browse/checkpoint/read", page(checkpoint.read, judges_query=True), name="checkpoint-read"
    ),
    path("browse/values", page(catalogue.values), name="browse-values"),
    path("favicon.ico", page(crawlers.favicon, throttle=None), name="favicon"),
    path("robots.txt", page(crawlers.robots, throttle=None), name="robots"),
    path(
        ".well-known/security.txt", page(crawlers.security, throttle=None), name="security-contact"
    ),
    path("sitemap.xml", page(crawlers.sitemap), name="sitemap"),
    path("publish", page(publish.publish), name="publish"),
    path("publish/read", page(publish.read, judges_query=True), name="publish-read"),
    path("publish/send", page(publish.send), name="publish-send"),
    path("publish/checked", page(publish.checked, judges_query=True), name="publish-checked"),
    path("publish/name", page(publish.name, judges_query=True), name="publish-name"),
    path("uploads", page(uploads.index), name="uploads"),
    path("uploads/begun", page(uploads.begun, judges_query=True), name="uploads-begun"),
    path("uploads/<uuid:upload_id>/cancel", page(uploads.cancel), name="upload-cancel"),
    path("signin", page(accounts.signin), name="signin"),
    path("signin/device", page(device_login.confirm), name="device-login"),
    path("signup", page(accounts.signup), name="signup"),
    path("signout", page(accounts.signout), name="signout"),
    path("settings", RedirectView.as_view(pattern_name="tokens"), name="settings"),
    path("settings/password", page(accounts.password), name="password"),
    path("settings/content", page(views.content), name="content"),
    path("settings/organisations", page(organisations.index), name="organisations"),
    path("settings/organisations/<str:owner>", page(organisations.show), name="organisation"),
    path(
        "settings/organisations/<str:owner>/quota",
        page(organisations.quota),
        name="organisation-quota",
    ),
    path(
        "settings/organisations/<str:owner>/members/<int:user_id>/remove",
        page(organisations.remove),
        name="member-remove",
    ),
    path("settings/second-factor", page(second_factor.index), name="second-factor"),
    path("settings/tokens", page(tokens.index), name="tokens"),
    path("settings/tokens/revoke", page(tokens.revoke_all), name="tokens-revoke"),
    path("settings/tokens/<int:token_id>/revoke", page(tokens.revoke), name="token-revoke"),
    path("operator", page(operator.index), name="operator"),
    path("operator/panel", page(operator.panel), name="operator-panel"),
    path("operator/workers/<int:worker_id>", page(operator.worker), name="operator-worker"),
    path("operator/jobs/<int:job_id>", page(operator.job), name="operator-job"),
    path("operator/audit", page(audit.index), name="operator-audit"),
    path("operator/audit/export.<str:extension>", page(audit.export), name="operator-audit-export"),
    path("operator/accounts", page(operator_accounts.index), name="operator-accounts"),
    path("operator/accounts/<int:user_id>", page(operator_accounts.show), name="operator-account"),
    path(
        "operator/accounts/<int:user_id>/<str:action>",
        page(operator_accounts.act),
        name="operator-account-act",
    ),
    path(
        "operator/organisations",
        page(organisations.operator_index),
        name="operator-organisations",
    ),
    path("operator/blocked", page(blocks.index), name="operator-blocked"),
    path("packs/try", page(pack_tryouts.begin), name="pack-try"),
    path("packs/try/<uuid:key>", page(pack_tryouts.show), name="pack-tryout"),
    path("packs/try/<uuid:key>/state", page(pack_tryouts.state), name="pack-tryout-state"),
    path("packs/try/<uuid:key>/<str:verb>", page(pack_tryouts.act), name="pack-tryout-act"),
    path("compare", page(comparison.show), name="compare"),
    path("mixer", page(mixer.mixer), name="mixer"),
    path("mixer/pack", page(mixer_packs.save), name="mixer-pack"),
    path("mixer/overlap", page(mixer.overlap), name="mixer-overlap"),
    path("mixer/strip", page(mixer.strip), name="mixer-strip"),
    path("mixer/<uuid:key>", page(mixer.show), name="tryout"),
    path("mixer/<uuid:key>/state", page(mixer.state), name="tryout-state"),
    path("mixer/<uuid:key>/<str:verb>", page(mixer.act), name="tryout-act"),
    path("try", page(_moved("mixer"))),
    path("try/<uuid:key>", page(_moved("tryout"))),
    path("resolve", page(resolve.show), name="resolve"),
    path("packs", page(packs.index), name="packs"),
    path("packs/new", page(pack_publishing.create), name="pack-create"),
    path("packs/<str:owner>/<str:name>", page(packs.show), name="pack"),
    path("packs/<str:owner>/<str:name>/", include(OF_PACK)),
    path("help/client/<str:file>", page(client.send), name="client"),
    path("help", require_safe(RedirectView.as_view(pattern_name="use")), name="help-index"),
    path("help/use", page(usage.show), name="use"),
    path("styleguide", page(styleguide.show), name="styleguide"),
    path("help/licences", page(licences.show), name="licences"),
    path("help/<str:name>", page(guides.show), name="help"),
    path("media/images/<int:image_id>.png", page(media.image, throttle=None), name="image"),
    path("media/images/<int:film_id>.mp4", page(media.film, throttle=None), name="film"),
    path(
        "media/images/<int:image_id>.webp", page(media.animation, throttle=None), name="animation"
    ),
    path(
        "media/images/<int:image_id>/<str:digest>-<int:width>.<str:kind>",
        page(media.thumbnail, throttle=None),
        name="image-thumbnail",
    ),
    path(
        "media/samples/<int:sample_id>.<str:suffix>",
        page(gallery.media, throttle=None),
        name="sample",
    ),
    path(
        "media/samples/<int:sample_id>-<int:width>.<str:kind>",
        page(gallery.thumbnail, throttle=None),
    ),
    path("media/sheets/<int:render_id>.png", page(media.sheet, throttle=None), name="sheet"),
    path(
        "media/sheets/<int:render_id>/<str:digest>-<int:width>.<str:kind>",
        page(media.sheet_thumbnail, throttle=None),
        name="sheet-thumbnail",
    ),
    path(
        "media/reports/<int:picture_id>.png",
        page(media.report_picture, throttle=None),
        name="report-picture",
    ),
    path(
        "media/cards/<int:version_id>.png",
        page(media.card, throttle=DrawnImageThrottle),
        name="card",
    ),
    path(
        "media/covers/<int:version_id>.svg", page(media.cover, throttle=CoverThrottle), name="cover"
    ),
    path("<str:owner>", page(catalogue.profile), name="profile"),
    path("<str:owner>/<str:name>", page(adapters.show), name="adapter"),
    path("<str:owner>/<str:name>/", include(OF_ADAPTER)),
    path("<str:owner>/<str:name>/versions/<str:version>/", include(OF_VERSION)),
]
