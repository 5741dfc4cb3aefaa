"""Models of the previews."""

from __future__ import annotations

from previews.models.image import Control, Cover, Image, Sheet, SheetKind
from previews.models.lineage import MeasuredLineage
from previews.models.render import (
    OPEN_STATES,
    Layer,
    PromptSet,
    Recipe,
    Render,
    RenderKind,
    RenderState,
    Tryout,
)
from previews.models.report import OPEN_REPORTS, Report, ReportPart, ReportPicture, ReportState
from previews.models.sample import Sample, SampleKind, SampleState

__all__ = [
    "OPEN_REPORTS",
    "OPEN_STATES",
    "Control",
    "Cover",
    "Image",
    "Layer",
    "MeasuredLineage",
    "PromptSet",
    "Recipe",
    "Render",
    "RenderKind",
    "RenderState",
    "Report",
    "ReportPart",
    "ReportPicture",
    "ReportState",
    "Sample",
    "SampleKind",
    "SampleState",
    "Sheet",
    "SheetKind",
    "Tryout",
]
