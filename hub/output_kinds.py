"""What families of base models make."""

from __future__ import annotations

from typing import Literal

__all__ = ["Medium", "medium_of"]

Medium = Literal["picture", "video", "sound"]

#: Beginnings of the ids of families that make something else than pictures.
_VIDEO = ("wan", "hunyuan_video", "framepack", "ltx", "mochi", "cogvideo", "easyanimate",
          "kandinsky5", "sana_video")  # fmt: skip
_SOUND = ("stable_audio",)
_PICTURES_AFTER_ALL = ("kandinsky5_img",)


def medium_of(family: str) -> Medium:
    """Return what a family makes; pictures where nothing else is known."""
    if family.startswith(_SOUND):
        return "sound"
    is_video = family.startswith(_VIDEO) and not family.startswith(_PICTURES_AFTER_ALL)
    return "video" if is_video else "picture"
