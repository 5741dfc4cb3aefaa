"""Previews as a sweep: one prompt and seed at rising strengths, next to its control.

One prompt and one seed are chosen from all pictures (prompts x seeds x strengths), leaving a row
of frames by strength. The frame at 0 is the control; another one is shown.

Strength advice (``previews.render.output.strength_advice``) is shown as text and as ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from hub.pages.labels import recommendation
from hub.pages.pictures.copied_recipe import CopiedRecipe, copied_recipe
from hub.templatetags.lorary import signed
from previews.pictures.selectors import Picture
from registry.models import File, Version

if TYPE_CHECKING:
    from previews.renders.selectors import Previews

    Document = Mapping[str, Any]

PROMPT_LABEL = 28
#: More prompts than this are shown as a list instead of side by side.
PROMPTS_BESIDE = 3
#: Strengths closer than this count as equal.
SAME_STRENGTH = 0.01


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the sweep; ``x`` is its position on the slider in percent."""

    index: int
    picture: Picture
    alt: str
    strength: str
    says: str
    x: str = "0"
    is_chosen: bool = False
    recipe: CopiedRecipe | None = None

    @property
    def is_control(self) -> bool:
        """Whether it is the base model alone."""
        return self.picture.strength == 0


@dataclass(frozen=True, slots=True)
class Option:
    """A prompt or a seed to choose; ``full`` is the text of a shortened label."""

    value: str
    label: str
    is_chosen: bool
    is_missing: bool = False
    full: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A prompt to choose by its picture at the recommended strength."""

    value: str
    frame: Frame
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Band:
    """A range on the slider, in percent; ``lead`` is the start of a measured one."""

    x: str
    width: str
    end: str
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Contents of the strength slider."""

    prompt: str
    seed: int
    prompts: list[Option]
    seeds: list[Option]
    frames: list[Frame]
    at: int
    band: Band | None
    recommended: str
    measured: list[Band]
    advice: str
    settings: str
    looks: list[Look] = field(default_factory=list)

    @property
    def control(self) -> Frame:
        """Return the frame to compare with: the base model alone, if it was rendered."""
        return next((frame for frame in self.frames if frame.is_control), self.frames[0])

    @property
    def live(self) -> Frame:
        """Return the frame at the chosen strength."""
        return self.frames[self.at]

    @property
    def last(self) -> int:
        """Return the highest index of the slider."""
        return len(self.frames) - 1

    @property
    def has_list(self) -> bool:
        """Whether there are too many prompts to show side by side."""
        return len(self.prompts) > PROMPTS_BESIDE

    @property
    def has_control(self) -> bool:
        """Whether the base model alone was rendered."""
        return self.control.is_control


def sweep_of(
    version: Version, found: Previews, wanted: Mapping[str, str], primary: File | None = None
) -> Sweep | None:
    """Return the sweep of the requested ``prompt`` (its number), ``seed`` and frame ``at``.

    Defaults are the first prompt and seed, and the recommended strength. Frames have their recipe
    if the ``primary`` file of the version is given.
    """
    pictures = found.images
    if not pictures:
        return None
    prompts = list(dict.fromkeys(picture.prompt for picture in pictures))
    number = _number(wanted.get("prompt"), len(prompts))
    of_prompt = [picture for picture in pictures if picture.prompt == prompts[number]]
    all_seeds = list(dict.fromkeys(picture.seed for picture in pictures))
    seeds = {picture.seed for picture in of_prompt}
    seed = next((s for s in seeds if str(s) == wanted.get("seed")), of_prompt[0].seed)
    row = sorted((p for p in of_prompt if p.seed == seed), key=lambda p: p.strength)
    at = _number(wanted.get("at"), len(row), _nearest(row, version.dial))
    frames = [_placed(row, index, at, version) for index in range(len(row))]
    if primary is not None:
        frames = [
            replace(one, recipe=copied_recipe(version, primary, found.recipe, one.picture))
            for one in frames
        ]
    return Sweep(
        prompt=prompts[number],
        seed=seed,
        prompts=_prompt_options(prompts, number),
        seeds=[Option(str(s), str(s), s == seed, s not in seeds) for s in all_seeds],
        frames=frames,
        at=at,
        band=_band(row, version),
        recommended=recommendation(version),
        measured=_measured(row, found.advice),
        advice=in_words(found.advice),
        settings=_settings(seed, found.recipe),
        looks=_looks(pictures, prompts, number, version),
    )


def _looks(
    pictures: Sequence[Picture], prompts: Sequence[str], chosen: int, version: Version
) -> list[Look]:
    """Return a picture of each prompt with its first seed, none if there are few prompts."""
    if len(prompts) <= PROMPTS_BESIDE:
        return []
    looks = []
    for number, prompt in enumerate(prompts):
        of_prompt = [picture for picture in pictures if picture.prompt == prompt]
        row = [picture for picture in of_prompt if picture.seed == of_prompt[0].seed]
        frame = frame_of(row[_nearest(row, version.dial)], number)
        looks.append(Look(str(number), frame, number == chosen))
    return looks


def _settings(seed: int, recipe: Mapping[str, Any]) -> str:
    parts = [_("seed %(seed)d") % {"seed": seed}]
    if "steps" in recipe:
        parts.append(_("%(steps)d steps") % {"steps": recipe["steps"]})
    if "guidance" in recipe:
        parts.append(_("guidance %(guidance)s") % {"guidance": f"{recipe['guidance']:g}"})
    if "edition" in recipe:
        parts.append(_("recipe edition %(edition)d") % {"edition": recipe["edition"]})
    return " · ".join(parts)


def frame_of(picture: Picture, index: int = 0) -> Frame:
    """Return one picture, outside a sweep."""
    text = signed(picture.strength)
    says = _("no adapter") if picture.strength == 0 else _("with the adapter")
    alt = _("%(prompt)s, strength %(strength)s") % {"prompt": picture.prompt, "strength": text}
    return Frame(index, picture, alt, text, says)


def _placed(row: Sequence[Picture], index: int, at: int, version: Version) -> Frame:
    frame = frame_of(row[index], index)
    return Frame(
        index,
        frame.picture,
        frame.alt,
        frame.strength,
        _says(row, index, version) or frame.says,
        _percent(index / max(1, len(row) - 1)),
        index == at,
    )


def _says(row: Sequence[Picture], index: int, version: Version) -> str:
    """Return the label of the frame at, or closest to, the recommended strength."""
    value = row[index].strength
    if value == 0 or index != _nearest(row, version.dial):
        return ""
    if version.strength is None:
        return _("full effect")
    if abs(value - version.dial) < SAME_STRENGTH:
        return _("recommended strength")
    return _("closest to the recommended %(best)s") % {"best": signed(version.strength)}


def _nearest(row: Sequence[Picture], value: float) -> int:
    """Return the index of the nearest strength; 0 is no strength, if there are others."""
    distances = [(not one.strength and bool(value), abs(one.strength - value)) for one in row]
    return min(range(len(row)), key=distances.__getitem__)


def _number(text: str | None, count: int, default: int = 0) -> int:
    if text and text.isascii() and text.isdigit() and int(text[:6]) < count:
        return int(text[:6])
    return default


def _prompt_options(prompts: Sequence[str], chosen: int) -> list[Option]:
    return [
        Option(str(number), _short(prompt), number == chosen, full=prompt)
        for number, prompt in enumerate(prompts)
    ]


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= PROMPT_LABEL else prompt[: PROMPT_LABEL - 1].rstrip() + "…"


def _band(row: Sequence[Picture], version: Version) -> Band | None:
    low, high = version.strength_min, version.strength_max
    if low is None or high is None or len(row) < 2:
        return None
    start, end = _along(row, low), _along(row, high)
    return Band(_percent(start), _percent(end - start), _percent(end)) if end > start else None


def _measured(row: Sequence[Picture], advice: Mapping[str, Any]) -> list[Band]:
    """Return the suggested range of each side, with the start of its effect."""
    bands = []
    for begins, low, high in ranges(advice) if len(row) > 1 else []:
        start, end = _along(row, low), _along(row, high)
        lead = _percent(_along(row, begins))
        bands.append(Band(_percent(start), _percent(end - start), _percent(end), lead))
    return bands


def _along(row: Sequence[Picture], value: float) -> float:
    """Return the position of a strength on the slider, 0 to 1, between the frames."""
    last = len(row) - 1
    if value <= row[0].strength:
        return 0.0
    for index in range(last):
        low, high = row[index].strength, row[index + 1].strength
        if low <= value <= high:
            return (index + (value - low) / (high - low)) / last
    return 1.0


def _percent(share: float) -> str:
    return f"{share * 100:.1f}".removesuffix(".0")


#: Strengths in texts are rounded to this, the precision of the measurement.
GRAIN = 0.05


def ranges(advice: Document) -> list[tuple[float, float, float]]:
    """Return for each side the start of its effect and its suggested range: (begins, low, high)."""
    sides = [side for side in (advice.get("negative"), advice.get("positive")) if side]
    return [(side["begins"], *side["suggested"]) for side in sides if side["suggested"]]


def in_words(advice: Document) -> str:
    """Return the advice as one phrase; "" if there is none."""
    sides = {
        sign: ", ".join(_phrases(advice[sign], advice["distances"]))
        for sign in ("positive", "negative")
        if advice.get(sign)
    }
    if len(sides) == 2:
        return capfirst(_("above 0 %(positive)s; below 0 %(negative)s") % sides)
    return capfirst(next(iter(sides.values()), ""))


def _phrases(side: Document, distances: list[tuple[float, float]]) -> Iterator[str]:
    ends, full = side["ends"], side["saturates"]
    if side["begins"] is None:
        yield _("hardly any change up to %(end)s") % {"end": signed(ends)}
        return
    first = min(abs(strength) for strength, _distance in distances if strength * ends > 0)
    if full is not None and abs(full) <= first:
        yield _("full effect already at %(full)s") % {"full": _grain(full)}
    else:
        yield _("begins at %(begins)s") % {"begins": _grain(side["begins"])}
        yield (
            _("still growing at %(end)s") % {"end": signed(ends)}
            if full is None
            else _("full effect at %(full)s") % {"full": _grain(full)}
        )
    if side["breaks"] is not None:
        yield _("degrades from %(breaks)s") % {"breaks": _grain(side["breaks"])}
    low, high = side["suggested"]
    yield _("try %(low)s to %(high)s") % {"low": _grain(low), "high": _grain(high)}


def _grain(value: float) -> str:
    steps = max(1, round(abs(value) / GRAIN))
    return signed(steps * GRAIN * (1 if value > 0 else -1))
