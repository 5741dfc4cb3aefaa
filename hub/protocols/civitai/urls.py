"""URLs of Civitai's API; only ``/api/v1/me`` is also one of Lorary's API."""

from __future__ import annotations

from django.urls import URLPattern, path

from hub.protocols.civitai import downloads, images, models, versions

NUMBER = "<str:number_text>"

urlpatterns: list[URLPattern] = [
    path("api/v1/models", models.models, name="civitai-models"),
    path(f"api/v1/models/{NUMBER}", models.model, name="civitai-model"),
    path("api/v1/model-versions/by-id", versions.by_ids, name="civitai-versions"),
    path("api/v1/model-versions/by-hash", versions.by_hashes, name="civitai-hashes"),
    path("api/v1/model-versions/by-hash/ids", versions.ids_by_hashes, name="civitai-hash-ids"),
    path("api/v1/model-versions/by-hash/<str:value>", versions.by_hash, name="civitai-hash"),
    path(f"api/v1/model-versions/mini/{NUMBER}", versions.mini, name="civitai-mini"),
    path(f"api/v1/model-versions/{NUMBER}", versions.version, name="civitai-version"),
    path("api/v1/images", images.images, name="civitai-images"),
    path("api/v1/creators", models.creators, name="civitai-creators"),
    path("api/v1/tags", models.tags, name="civitai-tags"),
    path("api/v1/enums", models.enums, name="civitai-enums"),
    path(f"api/download/models/{NUMBER}", downloads.model, name="civitai-download"),
    path("api/download/files/<str:signed>/<str:name>", downloads.content, name="civitai-content"),
]
