"""Begins and deletes the cover sheets of packs: one render for each variant of a version.

A variant is rendered with the first base model of its family and output that is served. Without
any, nothing is written: the start of a worker that serves one begins what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.models import OPEN_STATES, Layer, Render, RenderKind, RenderState, Report
from previews.packs.recipes import document_of, layers_of, recipe_of
from previews.render import Base, Recipe, RenderError
from previews.render.defaults import sheet_table
from previews.renders import contact_sheets
from previews.renders import services as renders
from previews.renders.messages import no_renderer
from previews.reports import services as reports
from registry import events
from registry.accounts import permissions
from registry.database.row_locks import locked
from registry.errors import Invalid, NotFound, StateConflict
from registry.jobs import queue
from registry.models import (
    OUT_STATES,
    Output,
    PackPart,
    PackVariant,
    PackVersion,
    User,
    VersionState,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

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


def request(*, actor: User, version: PackVersion, variant: str) -> Render:
    """Render a failed sheet again, or draw its contact sheet again; return its render.

    Raises:
        NotFound: there is no such variant.
        StateConflict: the version or a part was withdrawn, or no worker has the base model.
        Invalid: see ``sheet_recipe``.
        Forbidden, Unauthenticated, Gone: see ``permissions.require_pack``.
    """
    user = permissions.require_pack(actor, version.pack)
    row = version.variants.select_related("version__pack__namespace").filter(name=variant).first()
    if row is None:
        raise NotFound(_("This version has no such variant."))
    if version.state not in OUT_STATES or not has_all_parts(row):
        raise StateConflict(_("A part of this variant is no longer there."), state=version.state)
    with transaction.atomic():
        render = _requested(row)
        events.record(
            actor=user,
            verb="sheet_requested",
            about=version.pack,
            subject=f"{version.name} {row.name}",
            render=render.pk,
        )
    return render


def _requested(row: PackVariant) -> Render:
    newest = _renders_of(row).select_related("job").first()
    if newest is not None and newest.state == RenderState.READY:
        contact_sheets.begin(render=newest)
        return newest
    base = worker_bases.base_for(row.family, row.output)
    if base is None:
        raise StateConflict(no_renderer(row.family), state=RenderState.WAITING)
    if newest is not None and newest.state in OPEN_STATES:
        renders.fail_abandoned(newest)
    recipe = sheet_recipe(row, base)
    begun = _woken(row, base, recipe) or create(row, base, recipe, priority=queue.ASKED)
    return begun or _renders_of(row)[0]


def _begin(variant: PackVariant) -> Render | None:
    """Begin the sheet of a variant, unless there is one; return a new one."""
    base = worker_bases.base_for(variant.family, variant.output)
    if base is None or not has_all_parts(variant):
        return None
    try:
        recipe = sheet_recipe(variant, base)
    except Invalid as error:
        _refuse(variant, base, str(error.detail))
        return None
    if (woken := _woken(variant, base, recipe)) is not None:
        return woken
    if _renders_of(variant).filter(state__in=[*OPEN_STATES, RenderState.READY]).exists():
        return None
    return create(variant, base, recipe)


def _refuse(variant: PackVariant, base: Base, reason: str) -> None:
    """Record why a variant cannot have a sheet."""
    mine = _renders_of(variant)
    for waiting in mine.filter(state=RenderState.WAITING):
        renders.fail(render=waiting, reason=reason)
    if not mine.exists():
        columns = {**_columns(variant, base), "state": RenderState.FAILED, "reason": reason}
        with transaction.atomic():
            render = Render.objects.create(recipe=None, **columns)
            Layer.objects.bulk_create(layers_of(variant, render))


def _renders_of(variant: PackVariant) -> QuerySet[Render]:
    """Return the sheets of a variant, newest first."""
    return Render.objects.filter(pack_version=variant.version, variant=variant.name)


def has_all_parts(variant: PackVariant) -> bool:
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
    try:
        recipe = recipe_of(
            document_of(variant), base, prompts=prompts, seed=table["seed"], compares=True
        )
    except Invalid as error:
        text = _(
            "The template is too long for the subjects of cover sheets. Publish a shorter one."
        )
        raise Invalid(text) from error
    return replace(recipe, edition=table["edition"])


def _woken(variant: PackVariant, base: Base, recipe: Recipe) -> Render | None:
    """Queue the sheet of a variant that waited for a base model."""
    with transaction.atomic():
        rows = Render.objects.filter(
            pack_version=variant.version, variant=variant.name, state=RenderState.WAITING
        )
        render = locked(rows).first()
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


def create(
    variant: PackVariant, base: Base, recipe: Recipe, *, priority: int | None = None
) -> Render | None:
    """Create and queue a sheet of a variant; return None if one is open.

    Args:
        priority: Of its job; by default that of a first sheet.
    """
    try:
        with transaction.atomic():
            render = Render.objects.create(
                **_columns(variant, base), recipe=renders.store_recipe(recipe)
            )
            Layer.objects.bulk_create(layers_of(variant, render))
            _enqueue(render, priority)
    except IntegrityError:  # two processes at once: the constraint lets one through
        return None
    return render


def _columns(variant: PackVariant, base: Base) -> dict[str, Any]:
    return {
        "kind": RenderKind.PACK,
        "pack_version": variant.version,
        "variant": variant.name,
        "base": base.id,
        "output": base.output,
        "rank": variant.position,
    }


def _enqueue(render: Render, priority: int | None = None) -> None:
    is_film = render.output == Output.VIDEO  # these take long
    first = queue.RENEWAL if is_film else queue.BATCH
    renders.enqueue(render=render, priority=first if priority is None else priority)


def delete_replaced() -> int:
    """Delete sheets that a newer finished one replaced; return how many.

    The sweeper deletes the bytes of their pictures.
    """
    sheets = Render.objects.filter(kind=RenderKind.PACK)
    newer = sheets.filter(
        pack_version=OuterRef("pack_version"),
        variant=OuterRef("variant"),
        state=RenderState.READY,
        pk__gt=OuterRef("pk"),
    )
    replaced = sheets.filter(Exists(newer)).exclude(state__in=OPEN_STATES)
    ids = list(replaced.values_list("pk", flat=True))
    with transaction.atomic():
        reports.delete_all(Report.objects.filter(render__in=ids))
        Render.objects.filter(pk__in=ids).delete()
    return len(ids)
