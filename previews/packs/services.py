"""Begins the cover sheets of packs: one render for each variant of a published version.

A variant is rendered with the first base model of its family and output that is served. Without
any, nothing is written: the start of a worker that serves one begins what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from previews import worker_bases
from previews.models import OPEN_STATES, Layer, Render, RenderKind, RenderState
from previews.packs.recipes import document_of, layers_of, recipe_of
from previews.render import Base, Recipe, RenderError
from previews.render.defaults import sheet_table
from previews.renders import services as renders
from registry.errors import Invalid
from registry.jobs import queue
from registry.models import (
    OUT_STATES,
    Output,
    PackPart,
    PackVariant,
    PackVersion,
    VersionState,
)

#: Maximum number of variants that one attempt of a job examines.
AT_ONCE = 200

log = logging.getLogger(__name__)


def on_version_published(version_id: int) -> None:
    """Begin the cover sheets of a version; an invalid bases file is logged."""
    version = PackVersion.objects.select_related("pack__namespace").get(pk=version_id)
    try:
        begin(version=version)
    except RenderError:
        log.exception("no cover sheet for version %s of a pack", version_id)


def begin(*, version: PackVersion) -> list[Render]:
    """Begin the sheets of all variants that can be rendered; return those that are new.

    Those of pictures take turns with the first previews of adapters, those of videos come later.
    """
    variants = version.variants.select_related("version__pack__namespace")
    return [render for variant in variants if (render := _begin(variant)) is not None]


def begin_missing(*, after: int = 0) -> int:
    """Begin the sheets of the next variants without one, in the order of ids.

    The process that published them died before it could, a base model was added since, or a sheet
    waited for one. Returns the id of the last variant, 0 if there are no more.
    """
    served = Q(pk__in=[])
    for base in worker_bases.bases():
        served |= Q(family=base.family, output=base.output)
    begun = Render.objects.filter(
        pack_version=OuterRef("version"), variant=OuterRef("name")
    ).exclude(state=RenderState.WAITING)
    rows = PackVariant.objects.filter(
        served, ~Exists(begun), version__state=VersionState.PUBLISHED, pk__gt=after
    )
    last = 0
    for variant in rows.select_related("version__pack__namespace").order_by("pk")[:AT_ONCE]:
        _begin(variant)
        last = variant.pk
    return last


def _begin(variant: PackVariant) -> Render | None:
    """Begin the sheet of a variant, unless there is one; return a new one."""
    base = worker_bases.base_for(variant.family, variant.output)
    if base is None or not _has_all_parts(variant):
        return None
    try:
        recipe = sheet_recipe(variant, base)
    except Invalid as error:
        log.warning("no cover sheet for variant %s of a pack: %s", variant.pk, error)
        return None
    return _woken(variant, base, recipe) or _created(variant, base, recipe)


def _has_all_parts(variant: PackVariant) -> bool:
    """Whether all parts can still be rendered: none was withdrawn or blocked."""
    is_there = Q(adapter_version__state__in=OUT_STATES, adapter_version__adapter__blocked_reason="")
    return not PackPart.objects.filter(~is_there, variant=variant).exists()


def sheet_recipe(variant: PackVariant, base: Base) -> Recipe:
    """Return the recipe of a variant's cover sheet.

    Raises:
        Invalid: its template is too long for the subjects.
    """
    table = sheet_table(base)
    subjects = table["subjects"]
    prompts: Sequence[str] = subjects.get(variant.version.pack.kind, subjects["any"])
    recipe = recipe_of(
        document_of(variant), base, prompts=prompts, seed=table["seed"], compares=True
    )
    return replace(recipe, edition=table["edition"])


def _woken(variant: PackVariant, base: Base, recipe: Recipe) -> Render | None:
    """Queue the sheet of a variant that waited for a base model."""
    with transaction.atomic():
        rows = Render.objects.select_for_update().filter(
            pack_version=variant.version, variant=variant.name, state=RenderState.WAITING
        )
        render = rows.first()
        if render is None:
            return None
        stored = renders.store_recipe(recipe)
        if render.recipe_id != stored.pk:
            render.images.all().delete()
        render.recipe, render.base, render.output = stored, base.id, base.output
        render.state, render.reason = RenderState.QUEUED, ""
        render.save(update_fields=["recipe", "base", "output", "state", "reason"])
        _enqueue(render)
    return render


def _created(variant: PackVariant, base: Base, recipe: Recipe) -> Render | None:
    version = variant.version
    mine = Render.objects.filter(pack_version=version, variant=variant.name)
    if mine.filter(state__in=[*OPEN_STATES, RenderState.READY]).exists():
        return None
    try:
        with transaction.atomic():
            render = Render.objects.create(
                kind=RenderKind.PACK,
                pack_version=version,
                variant=variant.name,
                recipe=renders.store_recipe(recipe),
                base=base.id,
                output=base.output,
                rank=variant.position,
            )
            Layer.objects.bulk_create(layers_of(variant, render))
            _enqueue(render)
    except IntegrityError:  # two processes at once: the constraint lets one through
        return None
    return render


def _enqueue(render: Render) -> None:
    is_film = render.output == Output.VIDEO  # these take long
    renders.enqueue(render=render, priority=queue.RENEWAL if is_film else queue.BATCH)
