"""Every way in which rendering says no.

RenderError
├── BasesInvalid      bases_invalid      the bases file does not fit its schema
├── FamilyInvalid     family_invalid     a family's description does not fit its schema
├── RecipeInvalid     recipe_invalid     a recipe outside its limits
├── PictureInvalid    picture_invalid    no picture made here, or one that was changed
├── AdapterAbsent     adapter_absent     the file that a picture was made with is not here
├── BaseUnavailable   base_unavailable   the base model is not here or cannot be opened
├── CannotRender      cannot_render      this file, on this base, for the stated reason
├── Cancelled         cancelled          somebody asked to stop
├── TooSlow           too_slow           the deadline passed
└── OutOfMemory       out_of_memory      not even a single picture fits
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "AdapterAbsent",
    "BaseUnavailable",
    "BasesInvalid",
    "Cancelled",
    "CannotRender",
    "FamilyInvalid",
    "OutOfMemory",
    "PictureInvalid",
    "RecipeInvalid",
    "RenderError",
    "TooSlow",
    "Why",
]


class Why(StrEnum):
    """Why an adapter gives no true picture."""

    UNREADABLE = "unreadable"  # no safetensors file
    EMPTY = "empty"  # no LoRA module in it
    ALGORITHM = "algorithm"  # no LoRA, or a kind that would be drawn wrongly
    KEYS = "keys"  # tensors of unknown meaning
    MODULES = "modules"  # modules that the base does not have
    SHAPE = "shape"  # modules of another size
    NUMBERS = "numbers"  # NaN or infinity
    INCOMPLETE = "incomplete"  # parts missing in the file, or not taken over by diffusers
    FLAGGED = "flagged"  # the base's safety checker blacked a picture out


class RenderError(Exception):
    """Base of all refusals; the text is a sentence for a person."""

    code: ClassVar[str] = "render_error"


class BasesInvalid(RenderError):
    """The bases file does not fit its schema; the text lists every fault."""

    code = "bases_invalid"


class FamilyInvalid(RenderError):
    """A family's description does not fit its schema; the text lists every fault of the file."""

    code = "family_invalid"


class RecipeInvalid(RenderError):
    """A recipe outside its limits; the text says which value."""

    code = "recipe_invalid"


class PictureInvalid(RenderError):
    """No picture made here, or one whose recipe was changed; the text says which."""

    code = "picture_invalid"


class AdapterAbsent(RenderError):
    """A file that a picture was made with is not here."""

    code = "adapter_absent"


class BaseUnavailable(RenderError):
    """The base model is not here or cannot be opened."""

    code = "base_unavailable"


class CannotRender(RenderError):
    """This adapter gives no true picture on this base.

    Args:
        why: The reason as a slug, for texts in other languages.
        message: The sentence for a person.
    """

    code = "cannot_render"

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


class Cancelled(RenderError):
    """Somebody asked to stop; pictures handed over before remain valid."""

    code = "cancelled"


class TooSlow(RenderError):
    """The deadline passed between two steps."""

    code = "too_slow"


class OutOfMemory(RenderError):
    """Not even a single picture fits into memory."""

    code = "out_of_memory"
