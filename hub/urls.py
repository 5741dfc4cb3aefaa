"""Every address of a hub: health, doors, API, pages.

The order is that of the most asked first, since each address is compared until one fits. Other
hubs' protocols have addresses below ``/api/v1/`` too, none of them is one of ours; they come before
what answers for all the rest of ``/api/``. The pages come last, they own ``/{owner}``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hub.api.urls import v1
from hub.operations.health import live, ready

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include(v1)),
    path("healthz", ready, name="healthz"),
    path("healthz/live", live, name="live"),
    path("healthz/ready", ready, name="ready"),
    path("api", RedirectView.as_view(pattern_name="api-docs")),
    path("", include("hub.protocols.huggingface.urls")),
    path("", include("hub.protocols.civitai.urls")),
    path("api/", include("hub.api.urls")),
    path("", include("hub.pages.urls")),
]
