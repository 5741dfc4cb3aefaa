"""The list of packs, and the page of one."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hub.pages.packs.cards import covers_of, pack_cards, shown_variants
from hub.pages.packs.sheets import sheets_context
from hub.pages.packs.tryout_form import form_of_pack
from hub.pages.packs.visitor_tryouts import history
from hub.pages.versioned.takedowns import may_withdraw
from registry.accounts.permissions import is_operator
from registry.cards import markdown
from registry.errors import Moved
from registry.models import (
    LookKind,
    Maturity,
    Pack,
    PackVariant,
    PackVersion,
    VersionState,
    Visibility,
)
from registry.names import MAX_NAME
from registry.packs import parts as pack_parts
from registry.packs import selectors as pack_selectors
from registry.packs.selectors import PackQuery

PACKS_PER_PAGE = 24
#: Packs without a version that the list shows to their owner.
MAX_UNPUBLISHED = 50
#: Versions on a page of the list.
VERSIONS_PER_PAGE = 20
#: The largest number of a card or a version that a URL may ask for.
MAX_NUMBER = 10**7


def pack_of(request: HttpRequest, owner: str, name: str) -> Pack:
    """Return a pack that the viewer may see.

    Raises:
        NotFound: there is none.
        Moved: it was renamed; with the path of its page.
    """
    try:
        return pack_selectors.get(request.user, owner, name)
    except Moved as moved:
        raise Moved(full_name=f"packs/{moved.facts['full_name']}") from moved


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Show a page of packs, perhaps those that match some words."""
    query, cursor = _query_of(request.GET), request.GET.get("cursor", "")
    begin = _number_of(request.GET.get("after", "")) if cursor else 0
    rows = pack_selectors.search(request.user, query)
    found, following = pack_selectors.page(rows, cursor=cursor, limit=PACKS_PER_PAGE)
    wanted = request.GET.copy()
    wanted["cursor"], wanted["after"] = following, str(begin + len(found))
    context = {
        "query": query,
        "is_narrow": query != PackQuery(),
        "kinds": LookKind.choices,
        "cards": pack_cards(request, found, after=begin),
        "older": f"?{wanted.urlencode()}" if following else "",
        "is_later": bool(cursor),
        "unpublished": pack_selectors.unpublished(request.user)[:MAX_UNPUBLISHED],
    }
    return render(request, "packs/index.html", context)


def _query_of(sent: QueryDict) -> PackQuery:
    """Return the filters in an address; an unknown kind does not filter."""
    kind = sent.get("kind", "")
    return PackQuery(
        q=sent.get("q", "").strip()[:200],
        kind=kind if kind in LookKind.values else "",
        tag=sent.get("tag", "")[:48],
        owner=sent.get("owner", "")[:MAX_NAME],
    )


def _number_of(text: str) -> int:
    return min(int(text), MAX_NUMBER) if text.isdecimal() and len(text) < 9 else 0


@require_safe
def show(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show a pack with the parts of one version.

    Raises:
        Gone: the pack or the version was withdrawn.
    """
    pack = pack_of(request, owner, name)
    if pack.withdrawn_reason:
        raise pack_selectors.gone(pack)
    context = _about(request, pack) | _versions(request, pack)
    if context["versions"]:
        wanted = request.GET.get("v", "") or pack_selectors.LATEST
        version = pack_selectors.version(pack, wanted)
        if version.state == VersionState.WITHDRAWN:
            raise pack_selectors.gone_version(version)
        context |= _of_version(request, pack, version, is_writable=context["is_writable"])
    return render(request, "packs/page.html", context)


def _about(request: HttpRequest, pack: Pack) -> dict[str, Any]:
    """Return the context that all versions share."""
    return {
        "pack": pack,
        "tags": list(pack.tags.order_by("name").values_list("name", flat=True)),
        "card": markdown.preview(pack.card) if pack.card.strip() else None,
        "is_writable": request.user.is_authenticated and pack.is_writable_by(request.user),
        "may_withdraw": may_withdraw(request.user, pack),
        "may_block": request.user.is_authenticated and is_operator(request.user),
        "aliases": pack_selectors.aliases(pack),
        "rating": Maturity(pack.maturity),
        "publish_command": f"lorary pack publish {pack.full_name} manifest.json",
    }


def _versions(request: HttpRequest, pack: Pack) -> dict[str, Any]:
    """Return a page of the versions, newest first, and the address of the next one."""
    rows = pack_selectors.versions(pack)
    before = _number_of(request.GET.get("before", ""))
    later = rows.filter(number__lt=before) if before else rows
    found = list(later[: VERSIONS_PER_PAGE + 1]) or list(rows[: VERSIONS_PER_PAGE + 1])
    wanted = request.GET.copy()
    wanted["before"] = str(found[:VERSIONS_PER_PAGE][-1].number) if found else ""
    return {
        "versions": found[:VERSIONS_PER_PAGE],
        "older_versions": (
            f"?{wanted.urlencode()}#versions" if len(found) > VERSIONS_PER_PAGE else ""
        ),
    }


def _of_version(
    request: HttpRequest, pack: Pack, version: PackVersion, *, is_writable: bool
) -> dict[str, Any]:
    rows = list(version.variants.all())
    parts = pack_parts.parts_for(request.user, rows)
    every = [part for found in parts.values() for part in found]
    at_hand = [part for part in every if part.is_at_hand]
    adapters = (part.row.adapter_version.adapter for part in at_hand)
    is_shared = is_writable and pack.visibility != Visibility.PRIVATE
    latest = pack.latest_version
    is_latest = latest is not None and latest.pk == version.pk
    rating = pack_parts.rating_of(pack, every)
    tried = [one for one in rows if any(part.is_at_hand for part in parts[one.pk])]
    form = form_of_pack(request, pack, tried, version=None if is_latest else version)
    return {
        **history(request),
        **sheets_context(request, version, parts, rating),
        "form": form if tried else None,
        "version": version,
        "variants": shown_variants(version, parts),
        "covers": list(covers_of(request, adapters).values()),
        "missing": len(every) - len(at_hand),
        "hidden": len(at_hand) - _at_hand_for_strangers(rows) if is_shared else 0,
        "rating": rating,
        "newer": None if is_latest else latest,
        "command": f"lorary pull pack:{pack.full_name}{'' if is_latest else f'@{version.name}'}"
        f"{' --partial' if len(at_hand) < len(every) else ''} --to loras",
    }


def _at_hand_for_strangers(rows: list[PackVariant]) -> int:
    found = pack_parts.parts_for(None, rows).values()
    return sum(part.is_at_hand for parts in found for part in parts)
