"""Renders cover sheets of packs again if they were made with an older recipe.

The older sheets are shown until the new ones are ready; see ``previews.renders.rerender``.
"""

from __future__ import annotations

from collections.abc import Callable

from previews import worker_bases
from previews.models import OPEN_STATES, Render
from previews.packs import services as sheets
from previews.renders.rerender import Outdated, Rerendered, changes_of, record
from registry.errors import Invalid
from registry.jobs import queue
from registry.models import OUT_STATES, Pack, PackVariant, PackVersion


def run(
    *,
    pack: Pack | None = None,
    family: str = "",
    is_dry: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rerendered:
    """Begin sheets of variants with outdated ones, at the lowest priority.

    Args:
        pack: Examine only versions of this pack.
        family: Examine only variants for this base model.
        is_dry: Start no renders.
        progress: Called after each version with the number examined and the total.

    Raises:
        RenderError: the bases file is invalid.
    """
    rows = PackVersion.objects.filter(state__in=OUT_STATES, pack__withdrawn_reason="")
    rows = rows.filter(pack=pack) if pack else rows
    rows = rows.filter(variants__family=family).distinct() if family else rows
    keys = list(rows.order_by("pack_id", "-number").values_list("pk", flat=True))
    result = Rerendered()
    for key in keys:
        variants = PackVariant.objects.filter(version=key).order_by("position")
        for variant in variants.select_related("version__pack__namespace"):
            if family in ("", variant.family) and (found := _renewed(variant, is_dry=is_dry)):
                result.begun.append(found)
        result.looked_at += 1
        progress(result.looked_at, len(keys))
    if result.begun and not is_dry:
        record(result, pack)
    return result


def _renewed(variant: PackVariant, *, is_dry: bool) -> Outdated | None:
    """Begin the sheet of a variant if its last one is by another recipe; return what differs."""
    base = worker_bases.base_for(variant.family, variant.output)
    last = Render.objects.filter(pack_version=variant.version, variant=variant.name).first()
    if base is None or last is None or last.state in OPEN_STATES:
        return None
    try:
        recipe = sheets.sheet_recipe(variant, base)
    except Invalid:
        return None
    is_same = last.recipe is not None and last.recipe.digest == recipe.digest
    if is_same or not sheets.has_all_parts(variant):
        return None
    if not is_dry:
        sheets.create(variant, base, recipe, priority=queue.RENEWAL)
    changes = tuple(changes_of(last, recipe))
    return Outdated(variant.version, base.id, len(recipe.shots()), changes, variant.name)
