"""Changes an owner's prompts: numbered sets that are never modified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from previews.models import PromptSet
from previews.recipes import selectors
from previews.renders import rerender
from registry import events
from registry.accounts import permissions
from registry.database.row_locks import locked
from registry.errors import Invalid
from registry.models import Adapter, User
from registry.names import has_control

#: Maximum number of prompts of an owner. Each is rendered with every seed, strength and version.
MAX_PROMPTS = 6
MAX_CHARACTERS = 1000


def change(*, actor: User, adapter: Adapter, prompts: Sequence[str]) -> PromptSet | None:
    """Set the prompts that follow the default ones, and render all versions again.

    Return the current set. With no prompts it is empty, or None if there never was one.

    Raises:
        Invalid: ``facts["fields"]`` has the error of each field: ``prompts``, ``prompts.1``.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, adapter)
    texts = [" ".join(prompt.split()) for prompt in prompts]
    faults = dict(_faults(texts, selectors.plans_of(adapter)))
    if faults:
        fields = {name: [text] for name, text in faults.items()}
        raise Invalid(" ".join(dict.fromkeys(faults.values())), fields=fields)
    wanted = [text for text in texts if text]
    with transaction.atomic():
        locked(Adapter.objects.all()).get(pk=adapter.pk)
        before = selectors.current_prompts(adapter)
        if wanted == (before.prompts if before else []):
            return before
        number = before.number + 1 if before else 1
        kept = PromptSet.objects.create(adapter=adapter, number=number, prompts=wanted, author=user)
        verb = "prompts_changed" if wanted else "prompts_reset"
        events.record(actor=user, verb=verb, about=adapter, subject=f"#{number}", count=len(wanted))
        rerender.rerender_all(adapter=adapter)
    return kept


def reset(*, actor: User, adapter: Adapter) -> PromptSet | None:
    """Restore the default prompts; earlier sets stay in the history."""
    return change(actor=actor, adapter=adapter, prompts=())


def _faults(texts: Sequence[str], plans: Sequence[selectors.Plan]) -> Iterator[tuple[str, str]]:
    """Yield errors as pairs of field and message."""
    count = sum(bool(text) for text in texts)
    if count > MAX_PROMPTS:
        message = _("At most %(n)d prompts; you entered %(got)d.")
        yield "prompts", message % {"n": MAX_PROMPTS, "got": count}
        return
    before: set[tuple[str, str]] = set()
    for index, text in enumerate(texts):
        rendered = _rendered(text, plans) if text else set()
        fault = _text_fault(text)
        if not fault and text and all(_is_default(text, plan) for plan in plans):
            fault = _("This is a default prompt, which is rendered anyway. Remove it.")
        elif not fault and rendered & before:
            fault = _("This prompt is a duplicate. Remove it.")
        if fault:
            yield f"prompts.{index}", fault
        before |= rendered


def _is_default(text: str, plan: selectors.Plan) -> bool:
    """Whether a plan renders a prompt anyway; pictures and videos have other default prompts."""
    return bool(
        _rendered(text, [plan]) & {one for d in plan.defaults for one in _rendered(d, [plan])}
    )


def _rendered(text: str, plans: Iterable[selectors.Plan]) -> set[tuple[str, str]]:
    """Return a prompt with trigger words, as it is rendered for each family."""
    return {(plan.family, plan.shown(text).casefold()) for plan in plans}


def _text_fault(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        message = _("Enter at most %(n)d characters; this prompt has %(got)d.")
        return message % {"n": MAX_CHARACTERS, "got": len(text)}
    if has_control(text):
        return _("This prompt contains invisible control characters. Type it again.")
    return ""
