"""Thumbnails, contact sheets and cards, made with Pillow; without Django."""

from __future__ import annotations

from previews.derived.thumbnails import (
    KINDS,
    WIDTHS,
    Unreadable,
    encoded,
    offered,
    opened,
    placeholder,
)

__all__ = ["KINDS", "WIDTHS", "Unreadable", "encoded", "offered", "opened", "placeholder"]
