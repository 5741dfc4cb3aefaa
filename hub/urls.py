"""Every address of a hub: health, API, pages. The pages come last, they own ``/{owner}``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hub.health import healthz

__all__ = ["urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("api", RedirectView.as_view(pattern_name="api-docs")),
    path("api/", include("hub.api.urls")),
    path("", include("hub.pages.urls")),
]
