"""Manifests of packs that tests begin with."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow

from previews.models import Image, Layer, Recipe, Render, RenderKind, Report, Sheet
from previews.packs.recipes import layers_of
from previews.render.look.measures import METHOD
from registry.packs import publish, services
from tests import catalogue
from tests.stored import blob_of

if TYPE_CHECKING:
    from registry.models import Adapter, Pack, PackVersion, User

SUBJECTS = ("a cat", "a house")
DOCUMENT = {
    "prompts": list(SUBJECTS), "seeds": [7], "strengths": [0, 1], "steps": 8, "guidance": 2.5,
    "width": 32, "height": 32, "trigger": "literal", "base": "tiny",
}  # fmt: skip


def part(adapter: Adapter | str, **more: Any) -> dict[str, Any]:
    """Return a part with the latest version of an adapter."""
    return {"adapter": str(adapter), "strength": 0.8, "role": "style", **more}


def variant(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a variant for Stable Diffusion 1."""
    return {
        "name": "sd1", "family": "sd1", "output": "image", "parts": list(parts),
        "prompt": "noir style, {prompt}, film grain", "negative": "blurry", **more,
    }  # fmt: skip


def manifest(*variants: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of some variants."""
    return {"variants": list(variants)}


def published(ada: User, *adapters: Adapter, name: str = "dusk", **card: Any) -> PackVersion:
    """Publish the first version of a new pack with some adapters."""
    pack: Pack = services.create(actor=ada, name=name, **card)
    document = manifest(variant(*map(part, adapters)))
    return publish.publish(actor=ada, pack=pack, manifest=document)


def release(adapter: Adapter, data: bytes) -> None:
    """Publish bytes as a version of an adapter."""
    catalogue.release(adapter, data)


def sheet(version: PackVersion, state: str = "ready", shots: int = 4, **columns: Any) -> Render:
    """Give the first variant of a version a cover sheet in a state, with its first pictures."""
    variant = version.variants.first()
    assert variant is not None
    recipe, _made = Recipe.objects.get_or_create(digest="0" * 64, defaults={"document": DOCUMENT})
    columns = {"variant": variant.name, "output": variant.output, **columns}
    render = Render.objects.create(
        kind=RenderKind.PACK, pack_version=version, recipe=recipe, state=state, **columns
    )
    Layer.objects.bulk_create(layers_of(variant, render))
    for position in range(shots):
        strength, index = divmod(position, len(SUBJECTS))
        Image.objects.create(
            render=render, blob=blob_of(png(32 + position)), position=position, prompt_index=index,
            prompt=SUBJECTS[index] + (", noir" if strength else ""), seed=7, strength=strength,
            width=32 + position, height=32, placeholder="data:image/webp;base64,AAAA",
        )  # fmt: skip
    return render


def report(render: Render, **columns: Any) -> Report:
    """Give a cover sheet a look report that is ready."""
    figure = {"value": 0.625, "error": 0.02}
    figures = {"effect": figure, "consistency": figure, "subject_kept": figure, "method": METHOD}
    common = {
        "state": "ready", "base": "tiny", "recipe": {"version": 1, "look": DOCUMENT},
        "recipe_digest": "1" * 64, "strength": 1.0, "encoder": "small", "encoder_digest": "a" * 64,
        "figures": {**figures, "leak": None, "drift": None},
    }  # fmt: skip
    return Report.objects.create(render=render, **{**common, **columns})


def drawn(render: Render, width: int = 1100) -> Sheet:
    """Give a cover sheet its contact sheet."""
    blob = blob_of(png(width))
    return Sheet.objects.create(render=render, kind="png", blob=blob, width=width, height=32)


def png(width: int) -> bytes:
    """Return a picture of a width."""
    stream = io.BytesIO()
    Pillow.new("RGB", (width, 32), "#446688").save(stream, "PNG")
    return stream.getvalue()
