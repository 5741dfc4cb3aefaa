"""Models of the previews."""

from __future__ import annotations

from previews.models.cover import Cover
from previews.models.image import Control, Derivative, DerivativeKind, Image, Sheet, SheetKind
from previews.models.recipe import PromptSet, Recipe
from previews.models.render import OPEN_STATES, Layer, Render, RenderKind, RenderState, Tryout
from previews.models.sample import Sample, SampleKind, SampleState

__all__ = [
    "OPEN_STATES",
    "Control",
    "Cover",
    "Derivative",
    "DerivativeKind",
    "Image",
    "Layer",
    "PromptSet",
    "Recipe",
    "Render",
    "RenderKind",
    "RenderState",
    "Sample",
    "SampleKind",
    "SampleState",
    "Sheet",
    "SheetKind",
    "Tryout",
]
