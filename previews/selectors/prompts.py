"""Prompts that owners added to the default ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from previews.models import PromptSet

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import Adapter

__all__ = ["current", "history", "own_prompts"]


def current(adapter: Adapter) -> PromptSet | None:
    """Return the set in force, None where nobody ever wrote one."""
    return PromptSet.objects.filter(adapter=adapter).first()


def own_prompts(adapter: Adapter) -> list[str]:
    """Return the prompts in force beside the default ones, in their order."""
    found = current(adapter)
    return list(found.prompts) if found else []


def history(adapter: Adapter) -> QuerySet[PromptSet]:
    """Return every set with who wrote it and when, the newest first."""
    return PromptSet.objects.filter(adapter=adapter).select_related("author")
