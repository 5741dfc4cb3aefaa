"""What pages and the API show of previews."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from previews.models import OPEN_STATES, Image, Render, RenderState
from registry.errors import NotFound
from registry.models import Adapter, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser

    from registry.models import User, Version

__all__ = ["Picture", "Previews", "cover_of", "of_render", "previews_of", "render"]

#: No render was ever asked for.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Picture:
    """A preview; ``url`` is a path on this site."""

    id: int
    prompt: str
    seed: int
    strength: float
    width: int
    height: int

    @property
    def url(self) -> str:
        """Path of the PNG (design: /media/images/{id}.png)."""
        return f"/media/images/{self.id}.png"


@dataclass(frozen=True, slots=True)
class Previews:
    """Pictures of a version and how far they are; prompts hold the trigger words.

    While a new render is under way the pictures of the one before are shown.
    """

    state: str = NONE
    reason: str = ""
    done: int = 0
    total: int = 0
    images: Sequence[Picture] = ()
    render_id: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def progress(self) -> dict[str, int]:
        """Pictures done and in all."""
        return {"done": self.done, "total": self.total}


def previews_of(version: Version) -> Previews:
    """Return the newest render of a version, with pictures ordered as its recipe has them."""
    renders = list(version.renders.select_related("recipe", "job", "version")[:10])
    if not renders:
        return Previews()
    newest = of_render(renders[0])
    if newest.state == RenderState.READY:
        return newest
    before = next((old for old in renders[1:] if old.state == RenderState.READY), None)
    if before is None:
        return newest
    return Previews(
        newest.state, newest.reason, newest.done, newest.total, of_render(before).images,
        newest.render_id, newest.recipe,
    )  # fmt: skip


def of_render(render: Render) -> Previews:
    """Return one render as pages show it."""
    pictures = [
        Picture(row.pk, row.prompt, row.seed, row.strength, row.width, row.height)
        for row in render.images.all()
    ]
    state, reason = _state(render)
    return Previews(
        state=state,
        reason=reason,
        done=len(pictures),
        total=render.total,
        images=pictures,
        render_id=render.pk,
        recipe=render.recipe.document if render.recipe else {},
    )


def _state(render: Render) -> tuple[str, str]:
    """Return state and reason; a job that ended without a word is a failure."""
    job = render.job
    if job is not None and render.state in OPEN_STATES:
        if job.state == JobState.FAILED:
            return RenderState.FAILED, job.reason
        if job.state == JobState.CANCELLED:
            return RenderState.FAILED, _("Rendering was cancelled.")
    return render.state, render.reason


def render(user: User | AnonymousUser | None, render_id: int) -> Render:
    """Return a render of an adapter that the user may see.

    Raises:
        NotFound: absent, or private.
    """
    rows = Render.objects.select_related("recipe", "job", "version__adapter__namespace")
    visible = Adapter.objects.visible_to(user).values("pk")
    found = rows.filter(pk=render_id, version__adapter__in=visible).first()
    if found is None:
        raise NotFound(_("There is no such render."))
    return found


def cover_of(adapters: Iterable[Adapter]) -> dict[int, int | None]:
    """Return the picture that stands for each adapter, None where there is none; one query.

    It is the first prompt and seed of the newest ready render of the latest version, at the
    strength nearest to the recommended one.
    """
    asked = list(adapters)
    owners = {one.latest_version_id: one.pk for one in asked if one.latest_version_id}
    covers: dict[int, int | None] = dict.fromkeys((one.pk for one in asked), None)
    best: dict[int, tuple[int, float, int]] = {}
    rows = Image.objects.filter(
        render__version__in=owners, render__state=RenderState.READY, blob__is_stored=True
    ).exclude(strength=0)
    for version_id, wanted, render_id, position, strength, image_id in rows.values_list(
        "render__version_id", "render__version__strength", "render_id", "position", "strength", "id"
    ):
        rank = (-render_id, abs(strength - (1.0 if wanted is None else wanted)), position)
        if version_id not in best or rank < best[version_id]:
            best[version_id] = rank
            covers[owners[version_id]] = image_id
    return covers
