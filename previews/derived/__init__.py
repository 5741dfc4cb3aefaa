"""Thumbnails, contact sheets and cards, made with Pillow; without Django."""

from __future__ import annotations

from previews.derived.thumbnails import (
    WIDTHS,
    Unreadable,
    encoded,
    offered,
    opened,
    placeholder,
)

__all__ = ["WIDTHS", "Unreadable", "encoded", "offered", "opened", "placeholder"]
