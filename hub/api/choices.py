"""Values of a closed list; a refusal tells the list."""

from __future__ import annotations

from itertools import islice
from typing import Any, NoReturn

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

__all__ = ["Choice"]

#: The longest list today is that of base models, which fits.
MAX_LISTED = 64
MAX_SHOWN_CHARS = 80


class Choice(serializers.ChoiceField):
    """A ``ChoiceField`` for what callers say: bodies and query strings."""

    default_error_messages = {
        "invalid_choice": _("“{input}” is not one of: {choices}."),
    }

    def fail(self, key: str, **said: Any) -> NoReturn:  # noqa: ANN401 - DRF's signature
        """Refuse a value; neither it nor the list grows the answer beyond measure.

        Raises:
            serializers.ValidationError: always.
        """
        if key == "invalid_choice":
            listed = [str(choice) for choice in islice(self.choices, MAX_LISTED)]
            more = ["…"] if len(self.choices) > MAX_LISTED else []
            said = {"input": _cut(str(said["input"])), "choices": ", ".join(listed + more)}
        super().fail(key, **said)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"
