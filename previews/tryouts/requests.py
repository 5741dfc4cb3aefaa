"""What somebody wants to see of a stack, judged and written as a recipe.

Nothing here changes a row. A wish that does not fit is refused with every fault at once, and a
sentence for each.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.models.render import MAX_STRENGTH
from previews.render import RecipeInvalid
from previews.render.defaults import recipe_of as recipe_of_base
from previews.render.recipe import MAX_PROMPT_CHARACTERS, MAX_SEED, MAX_TRIGGERS, with_triggers
from previews.tryouts import selectors
from registry.errors import Invalid, NotFound, StateConflict
from registry.models import OUT_STATES
from registry.names import has_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from previews.render import Base, Recipe
    from registry.models import User, Version

__all__ = [
    "MAX_LAYERS",
    "Limits",
    "TryoutRequest",
    "limits_of",
    "recipe_of",
    "require_stack",
    "typed",
    "words_of",
]

#: Versions of a stack. More of them than this overlay each other beyond recognition.
MAX_LAYERS = 5

_STEP = 8
#: Sides, as shares of the base's own.
_LEAST_SIDE, _MOST_SIDE = 0.5, 1.5
#: Pixels, as a share of the base's own: time and memory grow with them.
_MOST_AREA = 1.5
#: Steps, as a share of the base's own.
_MOST_STEPS = 2

Faults = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryoutRequest:
    """A stack and how to render it; what is None, the base decides, and chance the seed.

    ``compares`` asks for the picture without the stack beside it.
    """

    layers: Sequence[tuple[Version, float]]
    prompt: str
    negative: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    uses_triggers: bool = True
    compares: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked of a base, with its own values; sides are multiples of 8."""

    width: int
    height: int
    steps: int

    @property
    def widths(self) -> tuple[int, int]:
        """Least and most."""
        return _sides(self.width)

    @property
    def heights(self) -> tuple[int, int]:
        """Least and most."""
        return _sides(self.height)

    @property
    def most_pixels(self) -> int:
        """Width times height."""
        return int(self.width * self.height * _MOST_AREA)

    @property
    def most_steps(self) -> int:
        """Steps of a picture."""
        return self.steps * _MOST_STEPS


def _sides(own: int) -> tuple[int, int]:
    least, most = own * _LEAST_SIDE, own * _MOST_SIDE
    return math.ceil(least / _STEP) * _STEP, math.floor(most / _STEP) * _STEP


def limits_of(base: Base) -> Limits:
    """Return what may be asked of a base."""
    return Limits(base.width, base.height, base.steps)


def require_stack(user: User, layers: Sequence[tuple[Version, float]]) -> str:
    """Return the family of a stack that the user may try.

    Raises:
        Invalid: too few or many, one twice, strengths out of range, or of different families.
        NotFound: one that the user may not see.
        StateConflict: one that is not published (any more), or of an unknown family.
    """
    versions = [version for version, _strength in layers]
    if not versions:
        raise _refused(_("Nothing is on the stack: add a version first."))
    if len(versions) > MAX_LAYERS:
        raise _refused(_("A stack has at most %(n)d versions: take some out.") % {"n": MAX_LAYERS})
    if len({version.pk for version in versions}) != len(versions):
        raise _refused(_("The same version is in the stack twice: take it out once."))
    if any(not abs(strength) <= MAX_STRENGTH for _version, strength in layers):
        limit = f"{MAX_STRENGTH:g}"
        raise _refused(_("A strength lies between −%(n)s and %(n)s.") % {"n": limit})
    may_see = set(selectors.triable_by(user, versions).values_list("pk", flat=True))
    for version in versions:
        _require_triable(version, is_visible=version.pk in may_see)
    return _family_of(versions)


def _require_triable(version: Version, *, is_visible: bool) -> None:
    if not is_visible and version.state in OUT_STATES:
        raise NotFound(_("There is no such adapter."))
    if not is_visible:
        text = _("“%(name)s” is not published. Only published versions can be tried.")
        raise StateConflict(text % {"name": selectors.name_of(version)}, state=version.state)
    if not version.family:
        text = _("Nobody has said which base model “%(name)s” is made for.")
        raise StateConflict(text % {"name": selectors.name_of(version)}, state=version.state)


def _family_of(versions: Sequence[Version]) -> str:
    first, *rest = versions
    other = next((version for version in rest if version.family != first.family), None)
    if other is not None:
        text = _(
            "“%(other)s” is made for %(its)s, and “%(first)s” for %(family)s. All versions of a "
            "stack are made for the same base model: take one of them out."
        )
        said = {
            "other": selectors.name_of(other),
            "its": family_title(other.family),
            "first": selectors.name_of(first),
            "family": family_title(first.family),
        }
        raise _refused(text % said)
    return first.family


def _refused(text: str) -> Invalid:
    return Invalid(text, fields={"layers": [text]})


def recipe_of(wish: TryoutRequest, base: Base) -> tuple[Recipe, list[str]]:
    """Return the recipe of a wish, and the trigger words that were put into its prompt.

    They are part of the recipe's prompt, so that a stack's recipe alone tells what was asked.

    Raises:
        Invalid: texts, seed, sizes or steps do not fit; ``fields`` says which and why.
    """
    versions = [version for version, _strength in wish.layers]
    words = words_of(versions) if wish.uses_triggers else []
    typed = " ".join(wish.prompt.split())
    prompt = with_triggers(typed, words, base.trigger, limit=len(words))
    faults = _faults(wish, prompt, limits_of(base))
    if faults:
        said = (f"{name}: {text}" for name, texts in faults.items() for text in texts)
        raise Invalid(" ".join(said), fields=faults)
    try:
        own = recipe_of_base(
            base,
            prompts=(prompt,),
            seeds=(secrets.randbelow(MAX_SEED + 1) if wish.seed is None else wish.seed,),
            strengths=(0.0, 1.0) if wish.compares else (1.0,),
        )
        recipe = replace(
            own,
            steps=wish.steps or own.steps,
            width=wish.width or own.width,
            height=wish.height or own.height,
            negative=own.negative if wish.negative is None else wish.negative,
            trigger="none",
        )
    except RecipeInvalid as error:
        text = _("Shorten the prompt: together with the trigger words it is too long.")
        raise Invalid(text, fields={"prompt": [text]}) from error
    return recipe, words


def words_of(versions: Sequence[Version]) -> list[str]:
    """Return trigger words, the first of each version before the second of any.

    Each version has a word in; of few versions as many words are used as for their own previews.
    """
    turns = chain.from_iterable(zip_longest(*(version.trigger_words for version in versions)))
    found = list(dict.fromkeys(word for word in turns if word))
    return found[: max(MAX_TRIGGERS, len(versions))]


def typed(prompt: str, words: Sequence[str]) -> str:
    """Return a recipe's prompt without the trigger words that were put before or behind it."""
    for word in words:
        prompt = prompt.removeprefix(f"{word}, ")
    for word in reversed(words):
        prompt = prompt.removesuffix(f", {word}")
    return prompt


def _faults(wish: TryoutRequest, prompt: str, limits: Limits) -> Faults:
    found: Faults = {}
    for name, text in (
        *_text_faults(wish, prompt),
        *_size_faults(wish, limits),
        *_number_faults(wish, limits),
    ):
        found.setdefault(name, []).append(text)
    return found


def _text_faults(wish: TryoutRequest, prompt: str) -> Iterator[tuple[str, str]]:
    for name, text in (("prompt", wish.prompt), ("negative", wish.negative or "")):
        if len(text) > MAX_PROMPT_CHARACTERS:
            said = _("At most %(n)d characters, please; these are %(got)d.")
            yield name, said % {"n": MAX_PROMPT_CHARACTERS, "got": len(text)}
        elif has_control(text):
            yield name, _("This text has characters in it that nobody can see.")
    if not prompt:
        yield "prompt", _("Say what the picture shows.")


def _size_faults(wish: TryoutRequest, limits: Limits) -> Iterator[tuple[str, str]]:
    width = limits.width if wish.width is None else wish.width
    height = limits.height if wish.height is None else wish.height
    sides = (("width", width, limits.widths), ("height", height, limits.heights))
    odd = [side for side in sides if not side[2][0] <= side[1] <= side[2][1] or side[1] % _STEP]
    for name, _side, (least, most) in odd:
        said = _("A multiple of 8 from %(least)d to %(most)d.")
        yield name, said % {"least": least, "most": most}
    if not odd and width * height > limits.most_pixels:
        said = _("Width times height is at most %(n)d here.")
        yield "height", said % {"n": limits.most_pixels}


def _number_faults(wish: TryoutRequest, limits: Limits) -> Iterator[tuple[str, str]]:
    if wish.seed is not None and not 0 <= wish.seed <= MAX_SEED:
        yield "seed", _("A whole number from 0 to %(n)d.") % {"n": MAX_SEED}
    if wish.steps is not None and not 1 <= wish.steps <= limits.most_steps:
        yield "steps", _("From 1 to %(n)d.") % {"n": limits.most_steps}
