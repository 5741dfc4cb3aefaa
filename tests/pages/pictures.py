"""Renders with pictures, and uploaded pictures, written straight into the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from previews.models import Image, Recipe, Render, Sample
from registry.models import Blob
from tests.stored import blob_of

if TYPE_CHECKING:
    from typing import Any

    from registry.models import Version

STRENGTHS = (0, 0.25, 0.5, 0.75, 1)
DOCUMENT = {"prompts": ["a", "b"], "seeds": [1, 2], "strengths": STRENGTHS, "steps": 8}


def render(version: Version, state: str, shots: int = 0, reason: str = "") -> Render:
    """Give a version one render in a state, with its first pictures."""
    version.renders.all().delete()
    recipe, _made = Recipe.objects.get_or_create(digest="0" * 64, defaults={"document": DOCUMENT})
    row = Render.objects.create(version=version, recipe=recipe, state=state, reason=reason)
    blob, _made = Blob.objects.get_or_create(sha256="1" * 64, defaults={"size_bytes": 1})
    for position in range(shots):
        prompt, rest = divmod(position, 10)
        seed, strength = divmod(rest, 5)
        Image.objects.create(
            render=row, blob=blob, position=position, prompt_index=prompt,
            prompt=["a cat", "a house"][prompt], seed=seed + 1, strength=STRENGTHS[strength],
            width=128, height=128,
        )  # fmt: skip
    return row


def sample_of(version: Version, **columns: Any) -> Sample:
    """Give a version an uploaded picture as the worker leaves it."""
    number = Sample.objects.count()
    columns = {"state": "ready", "blob": blob_of(b"webp %d" % number)} | columns
    return Sample.objects.create(
        version=version, author=version.author, width=96, height=64, **columns
    )
