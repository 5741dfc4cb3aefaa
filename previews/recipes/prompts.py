"""Prompts that owners add to the default ones: numbered sets, never changed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from previews.models import PromptSet
from previews.recipes import selectors
from previews.renders import rerender
from registry import events
from registry.accounts import permissions
from registry.errors import Invalid
from registry.models import Adapter
from registry.names import has_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.models import User

__all__ = ["MAX_CHARACTERS", "MAX_PROMPTS", "change", "reset"]

#: Prompts of an owner. Each is rendered with every seed at every strength, for every version.
MAX_PROMPTS = 6
MAX_CHARACTERS = 1000


def change(*, actor: User, adapter: Adapter, prompts: Sequence[str]) -> PromptSet | None:
    """Put an owner's prompts after the default ones, and render every version again by them.

    None leaves the default ones alone. The same prompts again change nothing. Returns the set in
    force, None where there never was one.

    Raises:
        Invalid: ``facts["fields"]`` names each fault: ``prompts``, ``prompts.1``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    texts = [" ".join(prompt.split()) for prompt in prompts]
    _require_good(adapter, texts)
    wanted = [text for text in texts if text]
    with transaction.atomic():
        Adapter.objects.select_for_update().get(pk=adapter.pk)
        before = selectors.current_prompts(adapter)
        if wanted == (before.prompts if before else []):
            return before
        number = before.number + 1 if before else 1
        kept = PromptSet.objects.create(adapter=adapter, number=number, prompts=wanted, author=user)
        verb = "prompts_changed" if wanted else "prompts_reset"
        events.record(
            actor=user, verb=verb, adapter=adapter, subject=f"#{number}", count=len(wanted)
        )
        rerender.follow(adapter=adapter)
    return kept


def reset(*, actor: User, adapter: Adapter) -> PromptSet | None:
    """Go back to the default prompts; the sets before stay in the history.

    Raises:
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    return change(actor=actor, adapter=adapter, prompts=())


def _require_good(adapter: Adapter, texts: Sequence[str]) -> None:
    faults: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in _faults(texts, selectors.plans_of(adapter)):
        faults[name].append(text)
    if faults:
        told = [text for texts in faults.values() for text in texts]
        raise Invalid(" ".join(dict.fromkeys(told)), fields=dict(faults))


def _faults(texts: Sequence[str], plans: Sequence[selectors.Plan]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, under the name of the prompt that it is wrong with."""
    count = sum(bool(text) for text in texts)
    if count > MAX_PROMPTS:
        said = _("At most %(n)d prompts of your own, please; these are %(got)d.")
        yield "prompts", said % {"n": MAX_PROMPTS, "got": count}
        return
    defaults = {look for plan in plans for text in plan.defaults for look in _looks(text, [plan])}
    before: set[tuple[str, str]] = set()
    for index, text in enumerate(texts):
        looks = _looks(text, plans) if text else set()
        fault = _text_fault(text)
        if not fault and looks & defaults:
            fault = _(
                "This is one of the default prompts, which are rendered anyway: leave it out."
            )
        elif not fault and looks & before:
            fault = _("This prompt is there twice: leave one out.")
        if fault:
            yield f"prompts.{index}", fault
        before |= looks


def _looks(text: str, plans: Iterable[selectors.Plan]) -> set[tuple[str, str]]:
    """Return what a prompt comes to for each family, trigger words in their place."""
    return {(plan.family, plan.shown(text).casefold()) for plan in plans}


def _text_fault(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        said = _("A prompt has at most %(n)d characters; this one has %(got)d.")
        return said % {"n": MAX_CHARACTERS, "got": len(text)}
    if has_control(text):
        return _("This prompt has characters in it that nobody can see: type it anew.")
    return ""
