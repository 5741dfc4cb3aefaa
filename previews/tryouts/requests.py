"""Checks the request for a try-out and converts it to a recipe; writes nothing.

A request with errors is refused with a message for each of them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.models.render import MAX_STRENGTH
from previews.render import Base, Recipe, RecipeInvalid
from previews.render.defaults import recipe_of as recipe_of_base
from previews.render.recipe import MAX_PROMPT_CHARACTERS, MAX_SEED, MAX_TRIGGERS, with_triggers
from previews.tryouts import selectors
from registry.errors import Invalid, NotFound, StateConflict
from registry.models import OUT_STATES, User, Version
from registry.names import has_control
from registry.versions.selectors import name_of

#: Maximum number of versions in a stack. The effects of more are not recognisable.
MAX_LAYERS = 5

MAX_GUIDANCE = 50

_STEP = 8
#: Limits as factors of the base's own sides, pixels (time and memory grow with them) and steps.
_LEAST_SIDE, _MOST_SIDE = 0.5, 1.5
_MOST_AREA = 1.5
_MOST_STEPS = 2

Faults = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryoutRequest:
    """A stack and its settings; None means the base's own value, or a random seed.

    ``compares`` adds a picture without the stack.
    """

    layers: Sequence[tuple[Version, float]]
    prompt: str
    negative: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    uses_triggers: bool = True
    compares: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Size and steps of a base, and the limits that follow from them."""

    width: int
    height: int
    steps: int

    @property
    def widths(self) -> tuple[int, int]:
        """Minimum and maximum, multiples of 8."""
        return _sides(self.width)

    @property
    def heights(self) -> tuple[int, int]:
        """Minimum and maximum, multiples of 8."""
        return _sides(self.height)

    @property
    def most_pixels(self) -> int:
        """Maximum of width times height."""
        return int(self.width * self.height * _MOST_AREA)

    @property
    def most_steps(self) -> int:
        """Maximum number of steps of a picture."""
        return self.steps * _MOST_STEPS


def _sides(own: int) -> tuple[int, int]:
    least, most = own * _LEAST_SIDE, own * _MOST_SIDE
    return math.ceil(least / _STEP) * _STEP, math.floor(most / _STEP) * _STEP


def limits_of(base: Base) -> Limits:
    """Return the limits for a base."""
    return Limits(base.width, base.height, base.steps)


def require_stack(user: User, layers: Sequence[tuple[Version, float]]) -> str:
    """Return the family of a stack that the user is allowed to try.

    Raises:
        Invalid: too few or many versions, duplicates, strengths out of range, different families.
        NotFound: the user cannot see a version.
        StateConflict: a version is not published, or has no family.
    """
    versions = [version for version, _strength in layers]
    if not versions:
        raise _refused(_("The stack is empty. Add a version first."))
    if len(versions) > MAX_LAYERS:
        raise _refused(
            _("A stack can have at most %(n)d versions. Remove some.") % {"n": MAX_LAYERS}
        )
    if len({version.pk for version in versions}) != len(versions):
        raise _refused(_("The same version is in the stack twice. Remove one."))
    if any(not abs(strength) <= MAX_STRENGTH for _version, strength in layers):
        limit = f"{MAX_STRENGTH:g}"
        raise _refused(_("Enter a strength from −%(n)s to %(n)s.") % {"n": limit})
    may_see = set(selectors.triable_by(user, versions).values_list("pk", flat=True))
    for version in versions:
        require_triable(version, is_visible=version.pk in may_see)
    return _family_of(versions)


def require_triable(version: Version, *, is_visible: bool) -> None:
    """Raise NotFound or StateConflict unless a version can be tried.

    Args:
        version: The version.
        is_visible: Whether it is one of ``selectors.triable_by``.
    """
    if not is_visible and version.state in OUT_STATES:
        raise NotFound(_("There is no such adapter."))
    if not is_visible:
        text = _("“%(name)s” is not published. Only published versions can be tried.")
        raise StateConflict(text % {"name": name_of(version)}, state=version.state)
    if not version.family:
        text = _("The base model of “%(name)s” is not set.")
        raise StateConflict(text % {"name": name_of(version)}, state=version.state)


def _family_of(versions: Sequence[Version]) -> str:
    first, *rest = versions
    other = next((version for version in rest if version.family != first.family), None)
    if other is not None:
        text = _(
            "“%(other)s” is for %(its)s, but “%(first)s” is for %(family)s. All versions of a "
            "stack must be for the same base model. Remove one of them."
        )
        message = {
            "other": name_of(other),
            "its": family_title(other.family),
            "first": name_of(first),
            "family": family_title(first.family),
        }
        raise _refused(text % message)
    return first.family


def _refused(text: str) -> Invalid:
    return Invalid(text, fields={"layers": [text]})


def recipe_of(request: TryoutRequest, base: Base) -> tuple[Recipe, list[str]]:
    """Return the recipe of a request, and the trigger words that its prompt includes.

    Raises:
        Invalid: ``fields`` has the errors of each field.
    """
    versions = [version for version, _strength in request.layers]
    words = trigger_words_of(versions) if request.uses_triggers else []
    typed = " ".join(request.prompt.split())
    prompt = with_triggers(typed, words, base.trigger, limit=len(words))
    faults = _faults(request, prompt, limits_of(base))
    if faults:
        texts = (f"{name}: {text}" for name, found in faults.items() for text in found)
        raise Invalid(" ".join(texts), fields=faults)
    try:
        own = recipe_of_base(
            base,
            prompts=(prompt,),
            seeds=(secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed,),
            strengths=(0.0, 1.0) if request.compares else (1.0,),
        )
        recipe = replace(
            own,
            steps=request.steps or own.steps,
            width=request.width or own.width,
            height=request.height or own.height,
            guidance=own.guidance if request.guidance is None else request.guidance,
            negative=own.negative if request.negative is None else request.negative,
            trigger="none",
        )
    except RecipeInvalid as error:
        text = _("The prompt and the trigger words are too long together. Shorten the prompt.")
        raise Invalid(text, fields={"prompt": [text]}) from error
    return recipe, words


def trigger_words_of(versions: Sequence[Version]) -> list[str]:
    """Return trigger words: the first one of each version, then the second ones, and so on.

    At most as many as the previews of one version use, or one per version if there are more
    versions.
    """
    turns = chain.from_iterable(zip_longest(*(version.trigger_words for version in versions)))
    found = list(dict.fromkeys(word for word in turns if word))
    return found[: max(MAX_TRIGGERS, len(versions))]


def typed(prompt: str, words: Sequence[str]) -> str:
    """Return a recipe's prompt without the trigger words that were added to it."""
    for word in words:
        prompt = prompt.removeprefix(f"{word}, ")
    for word in reversed(words):
        prompt = prompt.removesuffix(f", {word}")
    return prompt


def _faults(request: TryoutRequest, prompt: str, limits: Limits) -> Faults:
    found: Faults = {}
    for name, text in (
        *_text_faults(request, prompt),
        *_size_faults(request, limits),
        *_number_faults(request, limits),
    ):
        found.setdefault(name, []).append(text)
    return found


def _text_faults(request: TryoutRequest, prompt: str) -> Iterator[tuple[str, str]]:
    for name, text in (("prompt", request.prompt), ("negative", request.negative or "")):
        if fault := text_fault(text):
            yield name, fault
    if not prompt:
        yield "prompt", nothing_described()


def text_fault(text: str) -> str:
    """Return what is wrong with a prompt that somebody entered, "" if nothing is."""
    if len(text) > MAX_PROMPT_CHARACTERS:
        message = _("Enter at most %(n)d characters; you entered %(got)d.")
        return message % {"n": MAX_PROMPT_CHARACTERS, "got": len(text)}
    return _("This text contains invisible control characters.") if has_control(text) else ""


def nothing_described() -> str:
    """Return the message for an empty prompt."""
    return _("Describe the picture.")


def _size_faults(request: TryoutRequest, limits: Limits) -> Iterator[tuple[str, str]]:
    width = limits.width if request.width is None else request.width
    height = limits.height if request.height is None else request.height
    sides = (("width", width, limits.widths), ("height", height, limits.heights))
    odd = [side for side in sides if not side[2][0] <= side[1] <= side[2][1] or side[1] % _STEP]
    for name, _side, (least, most) in odd:
        message = _("Enter a multiple of 8 from %(least)d to %(most)d.")
        yield name, message % {"least": least, "most": most}
    if not odd and width * height > limits.most_pixels:
        message = _("Width times height must be at most %(n)d.")
        yield "height", message % {"n": limits.most_pixels}


def _number_faults(request: TryoutRequest, limits: Limits) -> Iterator[tuple[str, str]]:
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        yield "seed", _("Enter a whole number from 0 to %(n)d.") % {"n": MAX_SEED}
    if request.steps is not None and not 1 <= request.steps <= limits.most_steps:
        yield "steps", _("Enter a number from 1 to %(n)d.") % {"n": limits.most_steps}
    if request.guidance is not None and not 0 <= request.guidance <= MAX_GUIDANCE:
        yield "guidance", _("Enter a number from 0 to %(n)d.") % {"n": MAX_GUIDANCE}
