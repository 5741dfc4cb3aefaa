"""Two versions of an adapter side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.pages.adapters.content_rating import rating_of
from hub.pages.labels import strength_range
from hub.pages.pictures.reports import sentences_of
from hub.pages.pictures.strength_slider import Option
from hub.templatetags.lorary import size, strength
from previews.pictures.selectors import Picture
from previews.render.recipe import SLOT
from previews.renders.selectors import Comparison, Pair, Previews, compare, previews_of, rendered
from registry.adapters import selectors as adapter_selectors
from registry.errors import NotFound
from registry.models import Adapter, Version, VersionState
from registry.versions import selectors as version_selectors

PROMPT_LABEL = 28


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions, and the reason if it has no pictures."""

    version: Version
    trouble: str


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """A picture of a pair."""

    picture: Picture
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Row:
    """The two images of one strength."""

    strength: str
    is_control: bool
    images: tuple[ComparedImage, ComparedImage]


@dataclass(frozen=True, slots=True)
class Fact:
    """A detail of both versions."""

    title: str
    values: tuple[str, str]

    @property
    def is_changed(self) -> bool:
        """Whether the versions differ in this detail."""
        return self.values[0] != self.values[1]


@require_safe
def show(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show pictures of ``?a=v1&b=v2`` in pairs, for one prompt and seed."""
    adapter = adapter_selectors.get(request.user, owner, name)
    listing = [one for one in version_selectors.listing(request.user, adapter) if _is_shown(one)]
    versions = _chosen(adapter, listing, request.GET)
    context = {"adapter": adapter, "listing": listing, **_context(versions, request.GET)}
    pictures = [shot.picture for row in context["rows"] for shot in row.images]
    context["rating"] = rating_of(request, adapter, pictures=pictures)
    return render(request, "adapter/compare.html", context)


def _context(versions: tuple[Version, Version], wanted: Mapping[str, str]) -> dict[str, Any]:
    found = [previews_of(version) for version in versions]
    comparison = compare(*found)
    first, second = (Side(*one) for one in zip(versions, map(_trouble, found), strict=True))
    return {
        "first": first,
        "second": second,
        "sides": (first, second),
        "facts": _facts(*versions),
        "remarks": _remarks(comparison),
        "looks": sentences_of(versions),
        **_pairs(comparison, versions, wanted),
    }


def path_of(adapter: Adapter, version: Version, listing: Sequence[Version]) -> str:
    """Return the URL of the comparison with the next older version that has pictures, or ""."""
    if len(listing) < 2:
        return ""
    numbers = rendered(adapter)
    others = [number for number in numbers if number != version.number]
    if version.number not in numbers or not others:
        return ""
    older = next((number for number in others if number < version.number), others[-1])
    first, second = sorted((older, version.number))
    query = urlencode({"a": f"v{first}", "b": f"v{second}"})
    return f"{reverse('compare', args=[adapter.owner, adapter.name])}?{query}"


def _is_shown(version: Version) -> bool:
    return version.state != VersionState.WITHDRAWN


def _chosen(
    adapter: Adapter, listing: Sequence[Version], wanted: Mapping[str, str]
) -> tuple[Version, Version]:
    """Return the two requested versions, by default the newest and the previous one.

    Raises:
        NotFound: a version does not exist or was withdrawn.
    """
    by_name = {version.name: version for version in listing}
    names = list(by_name)  # the newest first
    first = wanted.get("a") or (names[1] if len(names) > 1 else "v1")
    second = wanted.get("b") or (names[0] if names else "v1")
    for name in (first, second):
        if name not in by_name:
            raise NotFound(
                _("“%(adapter)s” has no version “%(version)s” to compare.")
                % {"adapter": adapter.full_name, "version": name[:96]}
            )
    return by_name[first], by_name[second]


def _trouble(found: Previews) -> str:
    if found.images:
        return ""
    return found.reason or _("it has not been rendered yet")


def _facts(first: Version, second: Version) -> list[Fact]:
    pairs = [
        (_("Published"), [_date(one) for one in (first, second)]),
        (_("Trigger words"), [", ".join(one.trigger_words) for one in (first, second)]),
        (
            _("Optional trigger words"),
            [", ".join(one.optional_trigger_words) for one in (first, second)],
        ),
        (_("Recommended strength"), [strength_range(one) for one in (first, second)]),
        (_("Rank"), [str(one.rank or "") for one in (first, second)]),
        (_("Size"), [size(one.size_bytes) for one in (first, second)]),
        (_("Notes"), [Truncator(one.notes).chars(160) for one in (first, second)]),
    ]
    return [Fact(title, (one, other)) for title, (one, other) in pairs if one or other]


def _date(version: Version) -> str:
    return date_format(version.published_at, "j M Y") if version.published_at else ""


def _remarks(comparison: Comparison) -> list[str]:
    """Return sentences about the differences between the recipes."""
    sentences = []
    if comparison.editions:
        sentences.append(
            _(
                "The versions were rendered with editions %(one)d and %(other)d of the recipe. "
                "Pictures are compared only within one edition: render both again."
            )
            % dict(zip(("one", "other"), comparison.editions, strict=True))
        )
    if any(one.prompt != other.prompt for one, other in _pictures(comparison)):
        sentences.append(
            _("The trigger words differ, so the prompts differ too, even without the adapter.")
        )
    if comparison.differences:
        names = ", ".join(_setting(name) for name in comparison.differences)
        sentences.append(
            _("The recipes differ in %(names)s, so not every difference comes from the version.")
            % {"names": names}
        )
    if comparison.gaps:
        names = ", ".join(_setting(name) for name in comparison.gaps)
        sentences.append(
            _("The recipes have different %(names)s; only common ones are shown.")
            % {"names": names}
        )
    return sentences


def _pictures(comparison: Comparison) -> list[tuple[Picture, Picture]]:
    return [pair.pictures for pair in comparison.pairs]


def _setting(name: str) -> str:
    words = {
        "base": _("base model"), "renderer": _("renderer"), "steps": _("steps"),
        "guidance": _("guidance"), "sampler": _("sampler"), "negative": _("negative prompt"),
        "width": _("width"), "height": _("height"), "frames": _("frames"),
        "fps": _("frames per second"), "prompts": _("prompts"), "seeds": _("seeds"),
        "strengths": _("strengths"),
    }  # fmt: skip
    return words[name]


def _pairs(
    comparison: Comparison, versions: Sequence[Version], wanted: Mapping[str, str]
) -> dict[str, Any]:
    """Return the rows of the requested prompt (its number) and seed, and the options."""
    pairs = comparison.pairs
    prompts = {pair.prompt: _shown(pair) for pair in pairs}
    number = wanted.get("prompt", "")
    prompt = next((p for n, p in enumerate(prompts) if str(n) == number), next(iter(prompts), ""))
    seeds = list(dict.fromkeys(pair.seed for pair in pairs if pair.prompt == prompt))
    seed = next((s for s in seeds if str(s) == wanted.get("seed")), next(iter(seeds), 0))
    shown = [pair for pair in pairs if (pair.prompt, pair.seed) == (prompt, seed)]
    return {
        "prompt": prompts.get(prompt, ""),
        "prompts": [
            Option(str(n), Truncator(text).chars(PROMPT_LABEL), p == prompt)
            for n, (p, text) in enumerate(prompts.items())
        ],
        "seeds": [Option(str(s), str(s), s == seed) for s in seeds],
        "rows": [_row(pair, versions) for pair in sorted(shown, key=lambda pair: pair.strength)],
    }


def _shown(pair: Pair) -> str:
    """Return the prompt, with a placeholder if the versions' trigger words differ."""
    one, other = pair.pictures
    return one.prompt if one.prompt == other.prompt else pair.prompt.replace(SLOT, "…")


def _row(pair: Pair, versions: Sequence[Version]) -> Row:
    text = strength(pair.strength)
    first, second = (
        ComparedImage(picture, _alt(picture, version), version.name)
        for picture, version in zip(pair.pictures, versions, strict=True)
    )
    return Row(text, pair.strength == 0, (first, second))


def _alt(picture: Picture, version: Version) -> str:
    return _("%(version)s: %(prompt)s, strength %(strength)s") % {
        "version": version.name,
        "prompt": picture.prompt,
        "strength": strength(picture.strength),
    }
