"""All URLs of a hub: health, admin, protocols, API, pages.

The most requested come first, because Django tries patterns in order. The Hugging Face and Civitai
protocols also have URLs below ``/api/v1/``, none of which is one of the API; they come before the
pattern for all other URLs below ``/api/``. The pages come last: they match ``/{owner}``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hub.admin import site as admin_site
from hub.api.accounts.device_login import DeviceCodes, Grant, Revocation
from hub.api.urls import v1
from hub.monitoring.endpoints import metrics
from hub.operations.health import live, ready

handler400 = "hub.http.malformed_requests.bad_request"
handler500 = "hub.pages.errors.server_error_page"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(v1)),
    path("healthz", ready, name="healthz"),
    path("healthz/live", live, name="live"),
    path("healthz/ready", ready, name="ready"),
    path("metrics", metrics, name="metrics"),
    path("api", RedirectView.as_view(pattern_name="api-docs")),
    path("oauth/device", DeviceCodes.as_view(), name="oauth-device"),
    path("oauth/token", Grant.as_view(), name="oauth-token"),
    path("oauth/revoke", Revocation.as_view(), name="oauth-revoke"),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin_site.urls),
    path("", include("hub.protocols.huggingface.urls")),
    path("", include("hub.protocols.civitai.urls")),
    path("api/", include("hub.api.urls")),
    path("", include("hub.pages.urls")),
]
