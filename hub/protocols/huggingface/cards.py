"""What clients ask about a card before they push it.

A card is Markdown; between two lines of ``---`` at its beginning stands YAML, its front matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from django.utils.translation import gettext as _

from hub.protocols.huggingface.bodies import json_of, text_of
from hub.protocols.huggingface.door import answer, door

if TYPE_CHECKING:
    from django.http import HttpRequest, JsonResponse

__all__ = ["MAX_FRONT_CHARACTERS", "validate"]

#: Longest front matter that is read: the parser takes a second for a megabyte.
MAX_FRONT_CHARACTERS = 64 * 1024

_FENCE = re.compile(r"\s*---[ \t]*\r?\n")
_END = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)


@door("POST", is_read=True)
def validate(request: HttpRequest) -> JsonResponse:
    """Say what is wrong with the front matter of a card: 400 where its push would be no use."""
    errors, warnings = _judged(text_of(json_of(request), "content", ""))
    told = {
        "errors": [{"message": text} for text in errors],
        "warnings": [{"message": text} for text in warnings],
    }
    return answer(told, status=400 if errors else 200)


def _judged(card: str) -> tuple[list[str], list[str]]:
    """Return what is wrong with a card, and what is worth a word."""
    fence = _FENCE.match(card)
    if fence is None:
        return [], [_("The card has no YAML between two lines of “---” at its beginning.")]
    end = _END.search(card, fence.end())
    if end is None:
        return [_("The YAML at the beginning of the card has no line “---” at its end.")], []
    return _faults(card[fence.end() : end.start()]), []


def _faults(front: str) -> list[str]:
    if len(front) > MAX_FRONT_CHARACTERS:
        text = _("The YAML at the beginning of a card has at most %(limit)d characters.")
        return [text % {"limit": MAX_FRONT_CHARACTERS}]
    try:
        # The loader in C would go on where this one stops: it nests without a limit.
        found = yaml.safe_load(front)
    except yaml.YAMLError as error:
        return [_("The YAML of the card cannot be read: %(why)s") % {"why": str(error)[:500]}]
    except RecursionError:
        return [_("The YAML of the card is nested too deeply.")]
    except (ValueError, OverflowError) as error:
        return [_("A value of the card's YAML makes no sense: %(why)s") % {"why": str(error)[:200]}]
    if found is not None and not isinstance(found, dict):
        return [_("The YAML of the card is no list of names with values.")]
    return []
