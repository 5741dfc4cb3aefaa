"""Reads renders: the previews of a version, their place in the queue, pairs of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.models import (
    OPEN_STATES,
    Render,
    RenderKind,
    RenderState,
    Sheet,
    SheetKind,
)
from previews.pictures.selectors import Picture, pictures_by_render, pictures_of
from previews.renders.messages import previews_off, waiting_for
from registry.errors import NotFound
from registry.jobs import selectors as job_selectors
from registry.models import Adapter, Job, JobState, Output, User, Version, VersionState, WorkerWish
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet


#: State of a version that has no render.
NONE = "none"
#: Maximum time between the start of a worker and its announcement.
STARTING = timedelta(seconds=20)

#: Newest renders of a version that are read.
MAX_RENDERS = 30

_SHEETS = {"has_sheets": Exists(Sheet.objects.filter(render=OuterRef("pk"), kind=SheetKind.PNG))}


def renders_with_pictures() -> QuerySet[Render]:
    """Return the finished renders of versions."""
    return Render.objects.filter(kind=RenderKind.PREVIEW, state=RenderState.READY)


@dataclass(frozen=True, slots=True)
class Previews:
    """Pictures of a version with one base model, and the state of its newest render.

    ``output`` is "image" or "video". ``others`` are the previews with other base models of the
    family, in the order of the base models.

    While a new render is running (``is_renewal``), pictures, recipe, advice and sheets are those
    of the previous render, ``shown_id``. ``advice`` is a document of
    ``previews.render.output.strength_advice``, empty if there is none. ``sheets`` has the path of
    the contact sheet by kind.
    """

    state: str = NONE
    reason: str = ""
    done: int = 0
    total: int = 0
    images: Sequence[Picture] = ()
    render_id: int | None = None
    shown_id: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    advice: dict[str, Any] = field(default_factory=dict)
    is_renewal: bool = False
    sheets: dict[str, str] = field(default_factory=dict)
    base: str = ""
    output: str = Output.IMAGE
    others: Sequence[Previews] = ()

    @property
    def progress(self) -> dict[str, int]:
        """Number of pictures done and in total."""
        return {"done": self.done, "total": self.total}


def previews_of(version: Version) -> Previews:
    """Return the newest render of a version, with pictures in the order of its recipe.

    If its family has several base models, it is the render with the first base model that made
    pictures; ``others`` has those with the other base models.
    """
    return previews_by_version([version])[version.pk]


def previews_by_version(versions: Sequence[Version]) -> dict[int, Previews]:
    """Return version id → its previews, see ``previews_of``; two queries."""
    age = Window(RowNumber(), partition_by="version", order_by="-pk")
    rows = Render.objects.select_related("recipe", "job", "version").annotate(**_SHEETS, age=age)
    by_version: dict[int, list[Render]] = {version.pk: [] for version in versions}
    for render in rows.filter(version__in=by_version, age__lte=MAX_RENDERS).order_by("-pk"):
        by_version[render.version_id or 0].append(render)
    groups = {pk: _groups(renders) for pk, renders in by_version.items()}
    shown = [render for each in groups.values() for renders in each for render in _shown(renders)]
    pictures = pictures_by_render(render.pk for render in shown) if shown else {}
    found = {pk: [of_renders(renders, pictures) for renders in each] for pk, each in groups.items()}
    is_off = not all(found.values()) and worker_bases.are_previews_off()
    empty = Previews(reason=previews_off() if is_off else "")
    return {
        pk: replace(each[0], others=tuple(each[1:])) if each else empty
        for pk, each in found.items()
    }


def _groups(rows: Iterable[Render]) -> list[list[Render]]:
    """Return the renders of a version by base model, that with pictures first."""
    by_base: dict[str, list[Render]] = {}
    for render in rows:
        by_base.setdefault(render.base, []).append(render)
    unknown = by_base.pop("", [])
    groups = sorted(by_base.values(), key=_place)
    if unknown:  # these waited for the first base model
        first = groups[0] if groups else []
        groups[:1] = [sorted([*unknown, *first], key=lambda render: -render.pk)]
    return groups


def advice_of(versions: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return version id → the strength advice of its newest finished render of pictures."""
    rows = renders_with_pictures().filter(version__in=list(versions), output=Output.IMAGE)
    pairs = rows.order_by("-rank", "pk").values_list("version", "advice")
    return {pk: advice for pk, advice in pairs if pk and "distances" in advice}


def unrenderable(versions: Iterable[int]) -> set[int]:
    """Return the versions whose renders all failed, because the renderer refuses their files."""
    rows = Render.objects.filter(kind=RenderKind.PREVIEW, version__in=list(versions))
    states: dict[int, set[str]] = {}
    for version, state in rows.values_list("version", "state"):
        states.setdefault(version or 0, set()).add(state)
    return {pk for pk, found in states.items() if found == {RenderState.FAILED}}


def _place(renders: Sequence[Render]) -> tuple[Any, ...]:
    """Return the sort key of a base model's renders, newest first.

    Pictures come before videos. Two base models can have the same rank if one of them was renamed
    or removed since it rendered: the one with the newer render comes first.
    """
    has_pictures = any(render.state == RenderState.READY for render in renders)
    return renders[0].output, not has_pictures, renders[0].rank, -renders[0].pk


def _shown(renders: Sequence[Render]) -> list[Render]:
    """Return the newest render, and the last finished one until the newest is ready."""
    if renders[0].state == RenderState.READY:
        return [renders[0]]
    before = (old for old in renders[1:] if old.state == RenderState.READY)
    return [renders[0], *islice(before, 1)]


def of_renders(
    renders: Sequence[Render], pictures: Mapping[int, list[Picture]] | None = None
) -> Previews:
    """Return the newest of the renders of one thing, with earlier pictures until it is ready.

    Args:
        renders: The newest first.
        pictures: As for ``of_render``.
    """
    first, *rest = _shown(renders)
    newest = of_render(first, pictures)
    if not rest:
        return newest
    shown = of_render(rest[0], pictures)
    return replace(
        newest,
        images=shown.images,
        shown_id=shown.render_id,
        recipe=shown.recipe,
        advice=shown.advice,
        is_renewal=True,
        sheets=shown.sheets,
    )


def of_render(render: Render, pictures: Mapping[int, list[Picture]] | None = None) -> Previews:
    """Return one render as pages show it; for a withdrawn version, nothing is shown.

    Args:
        render: The render.
        pictures: Render id → its pictures, if they were read already.
    """
    version = render.version
    is_shown = version is None or version.state != VersionState.WITHDRAWN
    images = _pictures_of(render, pictures) if is_shown else []
    has_sheet = is_shown and getattr(render, "has_sheets", False)
    state, reason = _state(render)
    return Previews(
        state=state,
        reason=reason,
        done=len(images),
        total=render.total,
        images=images,
        render_id=render.pk,
        shown_id=render.pk,
        recipe=render.recipe.document if render.recipe else {},
        advice=render.advice if "distances" in render.advice else {},
        sheets={SheetKind.PNG: f"/media/sheets/{render.pk}.png"} if has_sheet else {},
        base=render.base,
        output=render.output,
    )


def _pictures_of(render: Render, pictures: Mapping[int, list[Picture]] | None) -> list[Picture]:
    return pictures_of(render.images.all()) if pictures is None else pictures.get(render.pk, [])


def _state(render: Render) -> tuple[str, str]:
    """Return state and reason; a render whose job failed or was cancelled has failed."""
    job = render.job
    if job is None or render.state not in OPEN_STATES:
        return render.state, render.reason
    if job.state == JobState.FAILED:
        return RenderState.FAILED, job.reason
    if job.state == JobState.CANCELLED:
        return RenderState.FAILED, _("Rendering was cancelled.")
    return _queued(render, job) if job.state == JobState.QUEUED else (render.state, render.reason)


def _queued(render: Render, job: Job) -> tuple[str, str]:
    """Return state and reason of a queued render.

    It is waiting if no worker serves its queue. A new job counts as queued for some seconds, as
    a worker may be starting.
    """
    if timezone.now() - job.created_at > STARTING:
        serving = job_selectors.serving(job.queue)
        if not serving:
            return RenderState.WAITING, waiting_for(render.family)
        if all(worker.wish == WorkerWish.PAUSE for worker in serving):
            return RenderState.WAITING, _("waiting for a paused worker")
    return RenderState.QUEUED, job.reason


def render(user: User | AnonymousUser | None, render_id: int) -> Render:
    """Return a render of a version that the user can see.

    Raises:
        NotFound: it does not exist, is private, or is of another user's draft.
    """
    rows = Render.objects.select_related("recipe", "job", "version__adapter__namespace")
    rows = rows.annotate(**_SHEETS)
    is_visible = Adapter.objects.visible_to(user).among("version__adapter")
    found = rows.filter(is_visible, pk=render_id).first()
    version = found.version if found is not None else None
    if found is None or version is None or not version_selectors.is_shown(user, version):
        raise NotFound(_("There is no such render."))
    return found


#: Settings that make pictures incomparable if they differ.
_SETTINGS = (
    "base", "renderer", "steps", "guidance", "sampler", "negative", "width", "height", "frames",
    "fps",
)  # fmt: skip
_LISTS = ("prompts", "seeds", "strengths")

_Key = tuple[str, int, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Pictures of two versions for the same prompt (without trigger words), seed and strength."""

    prompt: str
    seed: int
    strength: float
    pictures: tuple[Picture, Picture]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs in the order of the first version's recipe.

    ``differences`` are the settings that differ, ``gaps`` the lists (prompts, seeds, strengths)
    that differ. If the recipes have different editions of the default prompts (``editions``, from
    1), there are no pairs.
    """

    pairs: tuple[Pair, ...]
    differences: tuple[str, ...]
    gaps: tuple[str, ...]
    editions: tuple[int, int] | None = None


def compare(first: Previews, second: Previews) -> Comparison:
    """Match the pictures of two versions, if both were made by the same edition.

    The pictures are from the first base model that rendered both versions or, if there is none,
    from each version's first base model; then ``base`` is among the differences.
    """
    first, second = _with_common_base(first, second)
    one, other = (edition_of(found.recipe) for found in (first, second))
    if first.recipe and second.recipe and one != other:
        return Comparison((), (), (), (one, other))
    others = _keyed(second)
    pairs = tuple(
        Pair(*key, (picture, others[key]))
        for key, picture in _keyed(first).items()
        if key in others
    )
    return Comparison(
        pairs,
        tuple(name for name in _SETTINGS if first.recipe.get(name) != second.recipe.get(name)),
        tuple(name for name in _LISTS if first.recipe.get(name) != second.recipe.get(name)),
    )


def _with_common_base(first: Previews, second: Previews) -> tuple[Previews, Previews]:
    made = {one.base: one for one in (second, *second.others) if one.images}
    common = (one for one in (first, *first.others) if one.images and one.base in made)
    one = next(common, None)
    return (one, made[one.base]) if one else (first, second)


def edition_of(recipe: Mapping[str, Any]) -> int:
    """Return the edition of a recipe's default prompts; documents before the second lack it."""
    return int(recipe.get("edition", 1))


def _keyed(previews: Previews) -> dict[_Key, Picture]:
    prompts = previews.recipe.get("prompts", [])
    return {
        (prompts[one.prompt_index], one.seed, one.strength): one
        for one in previews.images
        if one.prompt_index < len(prompts)
    }


def rendered(adapter: Adapter) -> list[int]:
    """Return the numbers of the versions whose previews are ready, newest first."""
    done = Render.objects.filter(version__adapter=adapter, state=RenderState.READY)
    numbers = done.order_by("-version__number").values_list("version__number", flat=True)
    return [number for number in dict.fromkeys(numbers) if number is not None]
