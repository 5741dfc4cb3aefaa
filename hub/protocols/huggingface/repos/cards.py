"""What clients ask about a card before they push it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.protocols.huggingface.bodies import json_of, text_of
from hub.protocols.huggingface.door import answer, door
from registry.cards import fields
from registry.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, JsonResponse

__all__ = ["validate"]


@door("POST", is_read=True)
def validate(request: HttpRequest) -> JsonResponse:
    """Say what is wrong with the front matter of a card: 400 where its push would be refused."""
    text = text_of(json_of(request), "content", "")
    try:
        warnings = fields.read(text).warnings
    except Invalid as error:
        return answer({"errors": _told([error.detail]), "warnings": []}, status=400)
    return answer({"errors": [], "warnings": _told(warnings)})


def _told(texts: Iterable[object]) -> list[dict[str, str]]:
    return [{"message": str(text)} for text in texts]
