"""Rows of the previews, one noun a file."""

from __future__ import annotations

from previews.models.derivative import Derivative, DerivativeKind, Sheet, SheetKind
from previews.models.image import Control, Image
from previews.models.recipe import PromptSet, Recipe
from previews.models.render import OPEN_STATES, Layer, Render, RenderKind, RenderState
from previews.models.sample import Sample, SampleKind, SampleState
from previews.models.tryout import Tryout

__all__ = [
    "OPEN_STATES",
    "Control",
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
