"""Every address of a hub: health, doors, API, pages.

Other hubs' protocols come before the API: they have addresses below ``/api/`` too. The pages come
last, they own ``/{owner}``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hub.health import healthz

__all__ = ["urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("api", RedirectView.as_view(pattern_name="api-docs")),
    path("", include("hub.protocols.huggingface.urls")),
    path("", include("hub.protocols.civitai.urls")),
    path("api/", include("hub.api.urls")),
    path("", include("hub.pages.urls")),
]
