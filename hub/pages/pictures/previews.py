"""The picture side of an adapter page, which renews itself until the pictures are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.pages.adapters.content_rating import rating_of
from hub.pages.labels import duration
from hub.pages.pictures.strength_slider import Frame, frame_of, sweep_of
from previews import worker_bases
from previews.render_messages import no_renderer
from previews.selectors.queue_position import place_of_id
from previews.selectors.renders import previews_of
from previews.services.renders import request as request_render
from registry.accounts.permissions import require_user
from registry.adapters import selectors as adapter_selectors
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    from previews.selectors.pictures import Picture
    from previews.selectors.renders import Previews
    from registry.models import Adapter, Version

__all__ = ["Panel", "previews", "previews_context"]

#: Seconds between looks, by state; what waits for a worker changes rarely.
POLL_S = {"queued": 2, "running": 1, "waiting": 5}
#: Blank frames that stand for pictures to come.
STRIP = 6


@dataclass(frozen=True, slots=True)
class Panel:
    """State of a version's pictures; ``unserved`` says why nobody can render them."""

    state: str
    reason: str
    done: int
    total: int
    cover: str
    url: str
    request_url: str
    poll_s: int
    can_request: bool
    frames: list[Frame | dict[str, str]]
    recipe_url: str = ""
    sheets: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    unserved: str = ""


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def previews(request: HttpRequest, owner: str, name: str) -> HttpResponseBase:
    """Send the pictures' panel alone; POST asks for them to be rendered."""
    if request.method == "POST":
        return _ask(request, owner, name)
    adapter = adapter_selectors.get(request.user, owner, name)
    version = version_selectors.get(
        request.user, adapter, request.GET.get("v") or version_selectors.LATEST
    )
    context = {"adapter": adapter, "version": version}
    context |= previews_context(request, adapter, version)
    is_part = request.GET.get("part") == "renewal"
    template = "adapter/renewal.html" if is_part else "adapter/previews.html"
    return render(request, template, context)


def _ask(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = adapter_selectors.get(request.user, owner, name)
    version = version_selectors.get(
        request.user, adapter, request.GET.get("v") or version_selectors.LATEST
    )
    request_render(actor=require_user(request.user), version=version)
    return redirect("adapter", adapter.owner, adapter.name)


def previews_context(
    request: HttpRequest, adapter: Adapter, version: Version | None
) -> dict[str, Any]:
    """Return ``previews`` (the panel) and what it shows.

    ``sweep`` is None until pictures are complete, and where they are veiled by their ``rating``.
    """
    if version is None:
        return {"previews": _nothing(), "sweep": None, "rating": rating_of(request, adapter)}
    found = previews_of(version)
    address = reverse("adapter-previews", args=[adapter.owner, adapter.name])
    page = reverse("adapter", args=[adapter.owner, adapter.name])
    rating = rating_of(request, adapter, page=page, pictures=found.images)
    asked = rating.query if rating else ""
    user = request.user
    is_owner = user.is_authenticated and adapter.namespace.is_writable_by(user)
    can_request = bool(is_owner and found.state in {"failed", "none"})
    recipe_url = reverse("adapter-recipe", args=[adapter.owner, adapter.name])
    panel = Panel(
        state=found.state,
        reason=found.reason,
        done=found.done,
        total=found.total,
        cover=reverse("cover", args=[version.pk]),
        url=f"{address}?v={version.name}{asked}",
        request_url=f"{address}?v={version.name}",
        poll_s=POLL_S.get(found.state, 0),
        can_request=can_request,
        frames=_strip(found.images, found.total),
        recipe_url=recipe_url if is_owner else "",
        sheets=found.sheets,
        place=_place(found),
        unserved=_unserved(version) if can_request else "",
    )
    is_complete = found.state == "ready" or found.is_renewal
    is_veiled = bool(rating and rating.is_blurred and found.images)
    is_shown = is_complete and not is_veiled
    sweep = sweep_of(version, found, request.GET) if is_shown else None
    return {"previews": panel, "sweep": sweep, "rating": rating, "is_veiled": is_veiled}


def _unserved(version: Version) -> str:
    """Return why a version cannot be rendered here, empty where it can."""
    return "" if worker_bases.base_for(version.family) else no_renderer(version.family)


def _place(found: Previews) -> str:
    """Return in a sentence or two what goes first and how long it may take."""
    if found.render_id is None or found.state not in {"queued", "running"}:
        return ""
    place = place_of_id(found.render_id)
    said = []
    if place.ahead:
        text = ngettext("%(n)d job goes first.", "%(n)d jobs go first.", place.ahead)
        said.append(text % {"n": place.ahead})
    if place.left_s:
        said.append(_("About %(time)s left.") % {"time": duration(place.left_s)})
    return " ".join(said)


def _nothing() -> Panel:
    return Panel("none", "", 0, 0, static("blank.svg"), "", "", 0, can_request=False, frames=[])


def _strip(pictures: Sequence[Picture], total: int) -> list[Frame | dict[str, str]]:
    """Return the newest pictures and blanks for those to come."""
    here: list[Frame | dict[str, str]] = [frame_of(picture) for picture in pictures[-STRIP:]]
    blanks = max(0, min(STRIP, total or STRIP) - len(here))
    return here + [{} for _blank in range(blanks)]
