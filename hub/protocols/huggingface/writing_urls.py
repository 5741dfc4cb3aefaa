"""Addresses that change things: repositories, their branches and tags, and what is pushed.

A ref is the rest of its path, so that branches may be named ``feat/rain``, sent as ``feat%2Frain``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from hub.protocols.huggingface import places
from hub.protocols.huggingface.commits import commit, lfs, preupload
from hub.protocols.huggingface.repos import administration, cards

__all__ = ["urlpatterns"]

MODEL = "api/models/<str:owner>/<str:name>"
LFS = "<str:owner>/<str:name>.git/info/lfs/objects"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/repos/create", administration.create),
    path("api/repos/delete", administration.delete),
    path("api/repos/move", administration.move),
    path("api/validate-yaml", cards.validate),
    path(f"{MODEL}/settings", administration.settings),
    path(f"{MODEL}/tag/<path:ref>", administration.tag),
    path(f"{MODEL}/branch/<path:ref>", administration.branch),
    path(f"{MODEL}/preupload/<path:ref>", preupload.preupload),
    path(f"{MODEL}/commit/<path:ref>", commit.commit),
    path("<str:owner>/<str:name>/commit/<path:ref>", places.page, name="hf-commit-page"),
    path("<str:owner>/<str:name>/tree/<path:ref>", places.page),
    path("<str:owner>/<str:name>/blob/<path:ref>", places.page),
    path(f"{LFS}/batch", lfs.batch),
    path(f"{LFS}/<str:link>", lfs.objects, name="hf-lfs-object"),
]
