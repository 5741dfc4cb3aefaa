"""Errors of rendering, each with a code. The text is a sentence for the user."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Why(StrEnum):
    """Why an adapter cannot be rendered."""

    UNREADABLE = "unreadable"  # not a safetensors file
    EMPTY = "empty"  # no LoRA module
    ALGORITHM = "algorithm"  # a method that is not supported
    KEYS = "keys"  # unknown tensors
    MODULES = "modules"  # modules that the base model does not have
    SHAPE = "shape"  # modules of another size
    NUMBERS = "numbers"  # NaN or infinity
    INCOMPLETE = "incomplete"  # parts of a module are missing
    QUANTIZED = "quantized"  # the base's layer is quantised, and is not a linear one
    FLAGGED = "flagged"  # the base model's safety checker blacked out a picture


class RenderError(Exception):
    """Base class of all errors here."""

    code: ClassVar[str] = "render_error"


class BasesInvalid(RenderError):
    """The bases file is invalid; the text lists all errors."""

    code = "bases_invalid"


class RecipeInvalid(RenderError):
    """A recipe has values outside its limits; the text names them."""

    code = "recipe_invalid"


class PictureInvalid(RenderError):
    """A picture was not made by Lorary, or its recipe was changed."""

    code = "picture_invalid"


class AdapterAbsent(RenderError):
    """The adapter that a picture was made with was not found."""

    code = "adapter_absent"


class BaseUnavailable(RenderError):
    """The base model was not found or cannot be opened."""

    code = "base_unavailable"


class EncoderUnavailable(RenderError):
    """The image encoder of a base was not found or cannot be opened."""

    code = "encoder_unavailable"


class CannotRender(RenderError):
    """This adapter cannot be rendered on this base model; ``why`` is for translated messages."""

    code = "cannot_render"

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


class CannotMeasure(RenderError):
    """The lineage of adapters cannot be measured with this base model."""

    code = "cannot_measure"


class Cancelled(RenderError):
    """Rendering was cancelled; pictures that were made before remain valid."""

    code = "cancelled"


class TooSlow(RenderError):
    """Rendering took longer than the deadline."""

    code = "too_slow"


class OutOfMemory(RenderError):
    """There is not enough memory for a single picture."""

    code = "out_of_memory"
