"""Smaller sizes, contact sheets and cards, made with Pillow; without Django."""

from __future__ import annotations

from previews.derived.sizes import WIDTHS, SmallerPicture, Unreadable, opened, placeholder, smaller

__all__ = ["WIDTHS", "SmallerPicture", "Unreadable", "opened", "placeholder", "smaller"]
