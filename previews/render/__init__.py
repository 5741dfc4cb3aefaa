"""Renders pictures of adapters, without Django: a recipe and a stack go in, PNG bytes come out.

Importing this package does not import torch; ``previews.render.engine`` does. See
``docs/architecture.md`` for the folders, ``docs/previews.md`` for how rendering works.
"""

from __future__ import annotations

from previews.render.bases.bases_file import Base, Bases, load_bases
from previews.render.errors import (
    AdapterAbsent,
    BasesInvalid,
    BaseUnavailable,
    Cancelled,
    CannotMeasure,
    CannotRender,
    EncoderUnavailable,
    OutOfMemory,
    PictureInvalid,
    RecipeInvalid,
    RenderError,
    TooSlow,
    Why,
)
from previews.render.recipe import RENDERER, Layer, Recipe, Shot

__all__ = [
    "RENDERER",
    "AdapterAbsent",
    "Base",
    "BaseUnavailable",
    "Bases",
    "BasesInvalid",
    "Cancelled",
    "CannotMeasure",
    "CannotRender",
    "EncoderUnavailable",
    "Layer",
    "OutOfMemory",
    "PictureInvalid",
    "Recipe",
    "RecipeInvalid",
    "RenderError",
    "Shot",
    "TooSlow",
    "Why",
    "load_bases",
]
