"""Lists of repos, with search, tag filters and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.request import QueryDict
from django.utils.translation import gettext as _

from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import expanded, is_on, next_page, whole
from hub.protocols.huggingface.repos import shapes
from registry.adapters import facets, listings_by_tag
from registry.adapters import selectors as adapter_selectors
from registry.adapters.listings_by_tag import Facet, TagQuery
from registry.cards import base_models, readme
from registry.cards.fields import NOT_FOR_ALL
from registry.errors import Invalid
from registry.models import Adapter, Maturity
from registry.versions import revisions

MAX_PAGE = adapter_selectors.MAX_RESULTS_PER_PAGE
#: Maximum number of tag filters; each is a separate condition.
MAX_TAGS = 32

_SORTS = {"lastModified": "updated_at", "createdAt": "created_at"}
#: Tags of all adapters.
_EVERYTHING = frozenset({"diffusers", "lora", "safetensors"})
#: Fields of a list that need the files of each adapter.
_OF_FILES = frozenset({"siblings", "safetensors", "sha", "usedStorage", "lastModified"})
_MORE = frozenset({"author", "gated", "disabled", "cardData", "config", "baseModels",
                   "downloadsAllTime", "trendingScore", "spaces"})  # fmt: skip


@endpoint("GET")
def models(request: HttpRequest) -> JsonResponse:
    """Return matching public repos and the user's own, with a ``Link`` to the next page."""
    query = request.GET
    limit = whole(query, "limit", default=MAX_PAGE, most=MAX_PAGE)
    if query.get("inference") or query.get("inference_provider"):
        return answer([])  # a hub offers no inference
    page = listings_by_tag.listing(
        request.user, _search_query(query), cursor=query.get("cursor", ""), limit=limit
    )
    return answer(_documents(page.results, query), headers=next_page(request, page.next_cursor))


def _search_query(query: QueryDict) -> TagQuery:
    """Return the search query.

    Raises:
        Invalid: there are too many tags.
    """
    wanted = [part for value in query.getlist("filter") for part in value.split(",")]
    tags = dict.fromkeys(tag.strip() for tag in wanted if tag.strip() not in {*_EVERYTHING, ""})
    if len(tags) > MAX_TAGS:
        text = _("A list can be filtered by at most %(limit)d tags.") % {"limit": MAX_TAGS}
        raise Invalid(text, fields={"filter": [text]}, limit=MAX_TAGS)
    wanted_facets = [_facet(tag) for tag in tags]
    if pipeline := query.get("pipeline_tag"):
        wanted_facets.append(Facet(families=base_models.families_doing(pipeline)))
    gated = is_on(query, "gated") if query.get("gated") else None
    sort = _SORTS.get(query.get("sort", ""), "downloads")
    return TagQuery(query.get("search", ""), query.get("author", ""), wanted_facets, gated, sort)


def _facet(tag: str) -> Facet:
    """Return the facet of a tag from ``shapes.tags``."""
    if tag.startswith("base_model:"):
        repo = tag.removeprefix("base_model:").removeprefix("adapter:")
        return Facet(
            families=base_models.families_for(repo), lineages=base_models.lineages_for(repo)
        )
    if tag.startswith("license:"):
        return Facet(licence=tag.removeprefix("license:"))
    plain = tag.casefold()
    if plain == NOT_FOR_ALL:
        return Facet(ratings=[one for one in Maturity if not one.is_for_all])
    families = [plain, *base_models.families_doing(plain)]
    return Facet(tag=plain, kind=plain, families=families, algorithm=plain)


def _documents(rows: Sequence[Adapter], query: QueryDict) -> list[dict[str, Any]]:
    wanted = expanded(query)
    if not wanted and not is_on(query, "full"):
        extra = {"cardData"} if is_on(query, "cardData") else set()
        return [shapes.brief(row) | _more(row, extra) for row in rows]
    heads = revisions.default_revisions(rows)
    files = revisions.files_of([heads[row.pk][0] for row in rows])
    sizes = listings_by_tag.stored_bytes(rows) if "usedStorage" in wanted else {}
    found = []
    for row in rows:
        revision = heads[row.pk][0]
        document = shapes.full(row, revision, files[revision.pk]) | _more(row, _MORE)
        document["safetensors"] = shapes.safetensors(files[revision.pk])
        document["usedStorage"] = sizes.get(row.pk, 0)
        keys = {"_id", "id", *wanted} if wanted else document.keys() - {"usedStorage"}
        found.append({key: value for key, value in document.items() if key in keys})
    return found


def _more(adapter: Adapter, names: set[str] | frozenset[str]) -> dict[str, Any]:
    known: dict[str, Any] = {
        "cardData": readme.front_matter_of(adapter),
        "config": {},
        "baseModels": shapes.base_models(adapter),
        "downloadsAllTime": adapter.downloads,
        "trendingScore": 0,
        "spaces": [],
    }
    return {name: value for name, value in known.items() if name in names}


@endpoint("GET")
def tags_by_type(request: HttpRequest) -> JsonResponse:
    """Return the tags that lists can be filtered by."""
    found = facets.overall(request.user, ("family", "tag"))
    families = [family for family, _count in found["family"].values]
    pipelines = {base_models.pipeline_of(family) for family in families}
    repos = {base_models.base_model(family) for family in families} - {""}
    return answer(
        {
            "pipeline_tag": [_tag(name, "pipeline_tag") for name in sorted(pipelines)],
            "library": [_tag("diffusers", "library"), _tag("safetensors", "library")],
            "base_model": [_tag(f"base_model:{repo}", "base_model") for repo in sorted(repos)],
            "other": [_tag(name, "other") for name, _count in found["tag"].values],
        }
    )


def _tag(name: str, kind: str) -> dict[str, str]:
    return {"id": name, "label": name, "type": kind}
