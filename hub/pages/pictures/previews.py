"""The panel of previews, which refreshes itself until they are ready, and their recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.adapters.content_rating import asked_level, is_blurred, level_of, rating_of
from hub.pages.forms import PICTURE_RATINGS, accept_faults
from hub.pages.labels import duration
from hub.pages.pictures.covers import MAX_ID, controls_of
from hub.pages.pictures.films import films_of
from hub.pages.pictures.recipe_links import recipe_of_sweep
from hub.pages.pictures.strength_slider import Frame, Option, frame_of, sweep_of
from lorary.anatomy import family_title
from previews import worker_bases
from previews.covers.selectors import uploaded_pictures_of
from previews.models import PromptSet
from previews.pictures.selectors import Picture
from previews.recipes import prompts
from previews.recipes import selectors as recipes
from previews.recipes.selectors import AdapterRecipe, Plan
from previews.renders import services as renders
from previews.renders.messages import no_renderer
from previews.renders.queue_position import position_of_id
from previews.renders.selectors import Previews, previews_of
from registry.accounts.permissions import is_operator, require_adapter, require_user
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid
from registry.models import Adapter, File, Output, Version
from registry.versions import selectors as version_selectors

#: Seconds between refreshes, by state; a render that waits for a worker changes rarely.
POLL_S = {"queued": 2, "running": 1, "waiting": 5}
#: Parameters of the page that choose the picture to show.
SHOWN = ("v", "base", "prompt", "seed", "at")
#: Parts of the panel that refresh themselves, with their templates.
PARTS = {"renewal": "adapter/new_previews.html", "films": "adapter/films.html"}
#: Number of frames in the strip while pictures are missing.
STRIP = 6


@dataclass(frozen=True, slots=True)
class Panel:
    """State of a version's previews.

    ``unserved`` is the reason if no worker can render them; ``uploaded`` is a picture of the
    gallery that is shown instead of the drawn ``cover``.
    """

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
    uploaded: Picture | None = None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def previews(request: HttpRequest, owner: str, name: str) -> HttpResponseBase:
    """Send the panel; POST requests a render."""
    if request.method == "POST":
        return _ask(request, owner, name)
    adapter = adapter_selectors.get(request.user, owner, name)
    version = version_selectors.get(
        request.user, adapter, request.GET.get("v") or version_selectors.LATEST
    )
    context = {"adapter": adapter, "version": version}
    context |= previews_context(request, adapter, version, version.primary_file)
    template = PARTS.get(request.GET.get("part", ""), "adapter/previews.html")
    return render(request, template, context)


def _ask(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = adapter_selectors.get(request.user, owner, name)
    version = version_selectors.get(
        request.user, adapter, request.GET.get("v") or version_selectors.LATEST
    )
    renders.request(actor=require_user(request.user), version=version)
    return redirect("adapter", adapter.owner, adapter.name)


def previews_context(
    request: HttpRequest, adapter: Adapter, version: Version | None, primary: File | None = None
) -> dict[str, Any]:
    """Return the context with ``previews`` (the panel) and ``sweep``.

    Args:
        primary: The primary file of the version, for recipes to copy.

    ``sweep`` is None until the previews are complete, if they are videos, and if they are blurred
    by their ``rating``. ``films`` has the videos. Of several base models for pictures, the page
    shows that which the request names, and its links and refreshes keep it (``chosen_base``).
    """
    if version is None:
        return {"previews": _nothing(), "sweep": None, "rating": rating_of(request, adapter)}
    whole = previews_of(version)
    found = _of_base(whole, request.GET.get("base", ""))
    page = reverse("adapter", args=[adapter.owner, adapter.name])
    uploaded = None if found.images else _uploaded(request, version)
    pictures = [uploaded] if uploaded else list(found.images)
    films = films_of(found)
    pictures += [one.picture for group in films for row in group.rows for one in row.frames]
    rating = rating_of(request, adapter, page=page, pictures=pictures)
    user = request.user
    is_owner = bool(user.is_authenticated and adapter.namespace.is_writable_by(user))
    chosen = "" if found is whole else f"&{urlencode({'base': found.base})}"
    is_complete = found.state == "ready" or found.is_renewal
    is_veiled = bool(rating.is_blurred and pictures)
    is_film = found.output == Output.VIDEO and all(one.is_film for one in found.images)
    is_shown = is_complete and not is_veiled and not is_film
    sweep = sweep_of(version, found, request.GET, primary) if is_shown else None
    return {
        "previews": _panel(
            version, found, query=f"{rating.query}{chosen}", is_owner=is_owner, uploaded=uploaded
        ),
        "sweep": sweep,
        "bases": _base_options(version, found) if sweep else [],
        "chosen_base": chosen,
        "films": [] if is_veiled else films,
        "films_poll_s": max((one.poll_s for one in films), default=0),
        "can_render_films": is_owner and bool(worker_bases.base_for(version.family, Output.VIDEO)),
        "is_all_films": is_film and is_complete,
        "rating": rating,
        "is_veiled": is_veiled,
        "recipe_shown": recipe_of_sweep(version, sweep, found.recipe) if sweep else None,
        "covering": controls_of(user, adapter),
        "may_rate": is_owner or (user.is_authenticated and is_operator(user)),
        "picture_ratings": PICTURE_RATINGS,
    }


def _panel(
    version: Version, found: Previews, *, query: str, is_owner: bool, uploaded: Picture | None
) -> Panel:
    """Return the state of the previews; ``query`` is kept by links and refreshes."""
    names = [version.adapter.owner, version.adapter.name]
    address = f"{reverse('adapter-previews', args=names)}?v={version.name}"
    can_request = is_owner and found.state in {"failed", "none"}
    return Panel(
        state=found.state,
        reason=found.reason,
        done=found.done,
        total=found.total,
        cover=reverse("cover", args=[version.pk]),
        url=f"{address}{query}",
        request_url=address,
        poll_s=POLL_S.get(found.state, 0),
        can_request=can_request,
        frames=_strip(found.images, found.total),
        recipe_url=reverse("adapter-recipe", args=names) if is_owner else "",
        sheets=found.sheets,
        place=_place(found),
        unserved=_unserved(version) if can_request or found.state == "waiting" else "",
        uploaded=uploaded,
    )


def _of_base(found: Previews, base: str) -> Previews:
    """Return the previews with the base model of an id first, if it makes pictures."""
    chosen = next(
        (one for one in found.others if one.base == base and one.output == Output.IMAGE), None
    )
    if chosen is None:
        return found
    others = [one for one in found.others if one is not chosen]
    return replace(chosen, others=(replace(found, others=()), *others))


def _base_options(version: Version, found: Previews) -> list[Option]:
    """Return the base models for pictures if there are several, by id."""
    there = [one for one in (found, *found.others) if one.output == Output.IMAGE and one.images]
    if len(there) < 2:
        return []
    titles = {base.id: base.title for base in worker_bases.bases_for(version.family)}
    return [
        Option(one, titles.get(one) or one, one == found.base)
        for one in sorted(one.base for one in there)
    ]


def _uploaded(request: HttpRequest, version: Version) -> Picture | None:
    """Return the uploaded picture to show: the first that is not blurred, otherwise the first."""
    found = uploaded_pictures_of(version)
    levels = [level_of(version.adapter, one.maturity) for one in found]
    asked = asked_level(request)
    seen = (
        one
        for one, level in zip(found, levels, strict=True)
        if not is_blurred(request.user, version.adapter, level, asked)
    )
    return next(seen, found[0] if found else None)


def _unserved(version: Version) -> str:
    """Return the reason why no worker can render a version, otherwise ""."""
    return "" if worker_bases.base_for(version.family) else no_renderer(version.family)


def _place(found: Previews) -> str:
    """Return a sentence or two about the position in the queue and the remaining time."""
    if found.render_id is None or found.state not in {"queued", "running"}:
        return ""
    place = position_of_id(found.render_id)
    sentences = []
    if place.ahead:
        text = ngettext("%(n)d job ahead.", "%(n)d jobs ahead.", place.ahead)
        sentences.append(text % {"n": place.ahead})
    if place.left_s:
        sentences.append(_("About %(time)s left.") % {"time": duration(place.left_s)})
    return " ".join(sentences)


def _nothing() -> Panel:
    return Panel("none", "", 0, 0, static("blank.svg"), "", "", 0, can_request=False, frames=[])


def _strip(pictures: Sequence[Picture], total: int) -> list[Frame | dict[str, str]]:
    """Return the newest pictures, and placeholders for missing ones."""
    here: list[Frame | dict[str, str]] = [frame_of(picture) for picture in pictures[-STRIP:]]
    blanks = max(0, min(STRIP, total or STRIP) - len(here))
    return here + [{} for _blank in range(blanks)]


#: Number of fields without prompts, and of empty ones after prompts.
FIELDS, SPARE = 3, 2


class RatingForm(forms.Form):
    """A rendered picture and its content rating."""

    image = forms.IntegerField(min_value=1, max_value=MAX_ID)
    maturity = forms.ChoiceField(choices=PICTURE_RATINGS, required=False)


@require_POST
def rate(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Give a rendered picture a content rating; the panel or the page shows the same picture."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user, form = require_user(request.user), RatingForm(request.POST)
    if not form.is_valid():
        raise Invalid(_("Choose a picture and its content rating."))
    data = form.cleaned_data
    renders.rate(actor=user, image_id=data["image"], maturity=data["maturity"])
    shown, page = {key: request.POST[key] for key in SHOWN if key in request.POST}, "adapter"
    if "HX-Request" in request.headers:
        shown, page = shown | {"rated": "yes"}, "adapter-previews"
    else:
        messages.success(request, _("The content rating is saved."))
    return redirect(reverse(page, args=[adapter.owner, adapter.name], query=shown))


class PromptsForm(forms.Form):
    """A field for each prompt and a few more, with the names that the service's errors use."""

    def __init__(self, data: QueryDict | None, own: list[str]) -> None:
        count = max(FIELDS, len(own) + SPARE) if data is None else prompts.MAX_PROMPTS
        names = [f"prompts.{index}" for index in range(min(count, prompts.MAX_PROMPTS))]
        super().__init__(data, initial=dict(zip(names, own, strict=False)))
        for number, name in enumerate(names, start=1):
            self.fields[name] = forms.CharField(
                label=_("Prompt %(n)d") % {"n": number},
                required=False,
                strip=False,
                widget=forms.Textarea(attrs={"rows": 2}),
            )

    def prompts(self) -> list[str]:
        """Return all values, including empty ones, so that errors match their fields."""
        return list(self.cleaned_data.values())


@require_http_methods(["GET", "HEAD", "POST"])
def recipe(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show the recipe; POST changes the owner's prompts; without any it restores the defaults."""
    adapter = adapter_selectors.get(request.user, owner, name)
    user = require_adapter(request.user, adapter)
    shown = recipes.of_adapter(adapter)
    form = PromptsForm(request.POST if request.method == "POST" else None, shown.prompts)
    if request.method == "POST" and form.is_valid():
        try:
            kept = prompts.change(actor=user, adapter=adapter, prompts=form.prompts())
            messages.success(request, _saved_message(shown, kept))
            return redirect("adapter", adapter.owner, adapter.name)
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    context = {"adapter": adapter, "form": form, "recipe": shown, "plans": _plan_rows(shown.plans)}
    return render(request, "adapter/recipe.html", context, status=400 if form.errors else 200)


def _saved_message(before: AdapterRecipe, kept: PromptSet | None) -> str:
    if kept is None or kept.number == before.number:
        return _("The prompts have not changed.")
    if not before.versions:
        return _("The prompts are saved for future versions.")
    if not kept.prompts:
        return _(
            "The default prompts are restored. The previous pictures stay until the new ones "
            "are ready."
        )
    return _("The prompts are saved. The previous pictures stay until the new ones are ready.")


def _plan_rows(plans: Iterable[Plan]) -> list[dict[str, Any]]:
    return [
        {
            "plan": plan,
            "title": family_title(plan.family) if plan.family else _("Base model not known"),
            "defaults": [plan.shown(prompt) for prompt in plan.defaults],
        }
        for plan in plans
    ]
