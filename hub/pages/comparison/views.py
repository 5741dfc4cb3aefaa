"""Two versions, of one adapter or of two, side by side: pictures, weights and facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hub.pages.adapters.anatomy_panel import method_title
from hub.pages.adapters.content_rating import Rating, rating_of
from hub.pages.comparison.weights import query_of, url_of, weights_context
from hub.pages.labels import family_label, strength_range
from hub.pages.pictures.reports import sentences_of
from hub.pages.pictures.strength_slider import Option
from hub.templatetags.lorary import size, strength
from previews.pictures.selectors import Picture
from previews.render.recipe import SLOT
from previews.renders.selectors import Comparison, Pair, Previews, compare, previews_of, rendered
from registry.adapters import selectors as adapter_selectors
from registry.errors import Blocked, NotFound
from registry.models import Adapter, User, Version, VersionState
from registry.versions import selectors as version_selectors
from registry.versions.selectors import name_of, version_named

#: Names of the sides in addresses, and the longest name of a version.
SIDES, MAX_NAME = ("a", "b"), 200
PROMPT_LABEL = 28


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions.

    Attributes:
        name: What it is called on the page: ``v1``; beside another adapter ``name@v1``, or with
            its owner if both have one name.
        listing: The versions of its adapter.
        trouble: Why it has no pictures.
    """

    version: Version
    name: str
    listing: Sequence[Version]
    trouble: str

    @property
    def full_name(self) -> str:
        """Return ``owner/name@v1``."""
        return name_of(self.version)

    @property
    def choices(self) -> list[Option]:
        """Return the versions of its adapter, of which one is chosen."""
        return [
            Option(name_of(one), _choice(one), one.pk == self.version.pk) for one in self.listing
        ]


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


class NamesForm(forms.Form):
    """The two names; each is that of an adapter or of a version of it."""

    a = forms.CharField(label=gettext_lazy("Adapter or version"), max_length=MAX_NAME)
    b = forms.CharField(label=gettext_lazy("To compare with"), max_length=MAX_NAME)

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - a form's
        super().__init__(*args, **options)
        for field in self.fields.values():
            attrs = {"class": "in", "placeholder": "owner/name@v1", "spellcheck": "false"}
            field.widget.attrs.update(attrs)


@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show ``?a=owner/name@v1&b=owner/name``; without them, a form that asks for two names."""
    names = {side: request.GET.get(side, "") for side in SIDES}
    if not all(names.values()):
        form = NamesForm(initial=names)
        return render(request, "compare/choose.html", {"form": form})
    form, versions = NamesForm(names), []
    for side, name in names.items() if form.is_valid() else ():
        try:
            versions.append(_version(request, name))
        except Blocked:
            raise
        except NotFound as error:
            form.add_error(side, str(error.detail))
    if form.errors:
        return render(request, "compare/choose.html", {"form": form}, status=404)
    first, second = versions
    if "HX-Request" in request.headers:
        return render(request, "compare/weights.html", weights_context(request, first, second))
    return render(request, "compare/page.html", _context(request, (first, second)))


def _version(request: HttpRequest, name: str) -> Version:
    """Return a version by its name. Raises NotFound: it is absent, hidden or withdrawn."""
    version = version_named(request.user, name)
    if version.state == VersionState.WITHDRAWN:
        raise _absent(version.adapter, version.name)
    return version


def _absent(adapter: Adapter, name: str) -> NotFound:
    text = _("“%(adapter)s” has no version “%(version)s” to compare.")
    return NotFound(text % {"adapter": adapter.full_name, "version": name[:96]})


@require_safe
def of_adapter(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Redirect an earlier address: ``?a=v1&b=v2``, by default the newest and the previous one."""
    adapter = adapter_selectors.get(request.user, owner, name)
    versions = _chosen(adapter, _listing(request.user, adapter), request.GET)
    rest = request.GET.copy()
    for side in SIDES:
        rest.pop(side, None)
    more = f"&{rest.urlencode()}" if rest else ""
    return redirect(f"{reverse('compare')}?{query_of(*versions)}{more}")


def _listing(user: User | AnonymousUser, adapter: Adapter) -> list[Version]:
    rows = version_selectors.listing(user, adapter)
    return [one for one in rows if one.state != VersionState.WITHDRAWN]


def _context(request: HttpRequest, versions: tuple[Version, Version]) -> dict[str, Any]:
    found = [previews_of(version) for version in versions]
    comparison = compare(*found)
    sides = tuple(_sides(request, versions, found))
    names = [side.name for side in sides]
    context = {
        "first": sides[0],
        "second": sides[1],
        "sides": sides,
        "is_one_adapter": versions[0].adapter_id == versions[1].adapter_id,
        "facts": _facts(*versions),
        "remarks": _remarks(comparison),
        "looks": sentences_of(versions, names),
        **_pairs(comparison, names, request.GET),
        **weights_context(request, *versions),
    }
    pictures = [shot.picture for row in context["rows"] for shot in row.images]
    context["rating"] = _rating(request, versions, pictures)
    return context


def _sides(
    request: HttpRequest, versions: tuple[Version, Version], found: Sequence[Previews]
) -> Iterable[Side]:
    adapters = {version.adapter_id: version.adapter for version in versions}
    listings = {pk: _listing(request.user, adapter) for pk, adapter in adapters.items()}
    for version, previews in zip(versions, found, strict=True):
        yield Side(
            version,
            _short(version, adapters.values()),
            listings[version.adapter_id],
            _trouble(previews),
        )


def _short(version: Version, adapters: Collection[Adapter]) -> str:
    if len(adapters) == 1:
        return version.name
    has_own_name = len({one.name for one in adapters}) == len(adapters)
    return f"{version.adapter.name}@{version.name}" if has_own_name else name_of(version)


def _rating(
    request: HttpRequest, versions: tuple[Version, Version], pictures: list[Picture]
) -> Rating:
    """Return the rating of the adapter whose pictures are rated higher for the viewer."""
    ratings = (rating_of(request, version.adapter, pictures=pictures) for version in versions)
    return max(ratings, key=lambda one: (one.is_blurred, one.level.rank))


def _choice(version: Version) -> str:
    label = f"{version.name} · {version.label}" if version.label else version.name
    is_plain = version.state == VersionState.PUBLISHED
    return label if is_plain else f"{label} ({version.get_state_display()})"


def path_of(adapter: Adapter, version: Version, listing: Sequence[Version]) -> str:
    """Return the URL of the comparison with the next older version, or "".

    One with pictures is preferred.

    Args:
        listing: The versions of the adapter, newest first.
    """
    others = [one for one in listing if one.state != VersionState.WITHDRAWN and one != version]
    if not others:
        return ""
    numbers = rendered(adapter)
    pictured = [one for one in others if one.number in numbers]
    if version.number in numbers and pictured:
        others = pictured
    other = next((one for one in others if one.number < version.number), others[-1])
    first, second = sorted((other, version), key=lambda one: one.number)
    return url_of(first, second)


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
            raise _absent(adapter, name)
    return by_name[first], by_name[second]


def _trouble(found: Previews) -> str:
    if found.images:
        return ""
    return found.reason.rstrip(".") or _("it has not been rendered yet")


def _facts(first: Version, second: Version) -> list[Fact]:
    pairs = [
        (_("Base model"), [family_label(one.family) for one in (first, second)]),
        (_("Method"), [method_title(one.algorithm) for one in (first, second)]),
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
    comparison: Comparison, names: Sequence[str], wanted: Mapping[str, str]
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
        "rows": [_row(pair, names) for pair in sorted(shown, key=lambda pair: pair.strength)],
    }


def _shown(pair: Pair) -> str:
    """Return the prompt, with a placeholder if the versions' trigger words differ."""
    one, other = pair.pictures
    return one.prompt if one.prompt == other.prompt else pair.prompt.replace(SLOT, "…")


def _row(pair: Pair, names: Sequence[str]) -> Row:
    text = strength(pair.strength)
    first, second = (
        ComparedImage(picture, _alt(picture, name), name)
        for picture, name in zip(pair.pictures, names, strict=True)
    )
    return Row(text, pair.strength == 0, (first, second))


def _alt(picture: Picture, name: str) -> str:
    return _("%(version)s: %(prompt)s, strength %(strength)s") % {
        "version": name,
        "prompt": picture.prompt,
        "strength": strength(picture.strength),
    }
