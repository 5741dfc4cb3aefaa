"""Other forms of pictures, made with Pillow alone: sizes, sheets, cards. No Django in here."""

from __future__ import annotations

from previews.derived.sizes import WIDTHS, Made, Unreadable, opened, placeholder, smaller

__all__ = ["WIDTHS", "Made", "Unreadable", "opened", "placeholder", "smaller"]
