"""Who may see which try-out, and what there is to try.

One rule for every door: a try-out is there for whoever asked for it, and once it is shared for
everyone who has its address. It is gone for both when it expires, and for a viewer who may not
see one of its adapters: a private adapter is not shown by way of its pictures, and one that was
blocked, made private or withdrawn takes its try-outs along. A token that is bound opens those of
its user's try-outs that use what it is bound to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from previews.models import OPEN_STATES, Layer, RenderState, Tryout
from previews.renders.queue_position import Place, place_of, steps_of
from previews.renders.selectors import Previews, of_render
from registry.adapters import selectors as adapter_selectors
from registry.errors import Moved, NotFound
from registry.models import OUT_STATES, Adapter, Version
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.contrib.auth.models import AnonymousUser

    from previews.pictures.selectors import Picture
    from registry.models import User

    Viewer = User | AnonymousUser | None

__all__ = [
    "Shown",
    "get",
    "listing",
    "name_of",
    "own",
    "require_visible",
    "shown",
    "triable_by",
    "version_named",
    "visible_to",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """A try-out as it stands; ``done`` and ``total`` count steps over all its pictures.

    ``place`` is None unless it is queued or running.
    """

    tryout: Tryout
    previews: Previews
    done: int
    total: int
    place: Place | None

    @property
    def is_open(self) -> bool:
        """Whether something will still come of it."""
        return self.previews.state in OPEN_STATES

    @property
    def seed(self) -> int:
        """The one seed."""
        return int(self.previews.recipe["seeds"][0])

    @property
    def last(self) -> Picture | None:
        """The picture of the stack, once it is there."""
        return self.previews.images[-1] if self.previews.images else None

    @property
    def layers(self) -> list[Layer]:
        """The stack in its order."""
        return list(self.tryout.render.layers.all())


def triable_by(user: Viewer, versions: Iterable[Version] | None = None) -> QuerySet[Version]:
    """Return the versions, of those given or of all, that a user may try."""
    adapters = Adapter.objects.visible_to(user).filter(blocked_reason="")
    rows = Version.objects.filter(state__in=OUT_STATES, adapter__in=adapters.values("pk"))
    return rows if versions is None else rows.filter(pk__in=[one.pk for one in versions])


def visible_to(user: Viewer) -> QuerySet[Tryout]:
    """Return try-outs that a user may open."""
    hidden = Layer.objects.filter(render=OuterRef("render")).exclude(
        version__in=triable_by(user).values("pk")
    )
    who = Q(is_shared=True)
    if user is not None and user.is_authenticated:
        who |= own(user)
    return Tryout.objects.filter(who, ~Exists(hidden), expires_at__gt=timezone.now())


def own(user: User) -> Q:
    """Return the condition for a user's own try-outs, within the limits of their token."""
    token, mine = user.access_token, Q(user=user)
    if token is None or not token.is_bound:
        return mine
    layers = Layer.objects.filter(token.covered("version__adapter"), render=OuterRef("render"))
    return mine & Q(Exists(layers))


def listing(user: User) -> QuerySet[Tryout]:
    """Return a user's own try-outs, newest first."""
    return _with_all(visible_to(user).filter(own(user)))


def _with_all(rows: QuerySet[Tryout]) -> QuerySet[Tryout]:
    return rows.select_related("user", "render__recipe", "render__job").prefetch_related(
        "render__images", "render__layers__version__adapter__namespace"
    )


def get(user: Viewer, key: UUID) -> Tryout:
    """Return a try-out.

    Raises:
        NotFound: absent, expired, another's and not shared, or of an adapter that is hidden.
    """
    found = _with_all(visible_to(user)).filter(key=key).first()
    if found is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    return found


def require_visible(user: Viewer, tryout: Tryout) -> None:
    """Let those pass who may see a try-out's pictures.

    Raises:
        NotFound: see ``get``.
    """
    if not visible_to(user).filter(pk=tryout.pk).exists():
        raise NotFound(_("There is no such picture."))


def shown(tryout: Tryout) -> Shown:
    """Return a try-out with its pictures and how far it is."""
    render = tryout.render
    previews = of_render(render)
    total = steps_of(render.recipe) if render.recipe else 0
    done = total if previews.state == RenderState.READY else 0
    if previews.state == RenderState.RUNNING and render.job is not None:
        done = min(total, render.job.done)
    is_moving = previews.state in {RenderState.QUEUED, RenderState.RUNNING}
    return Shown(tryout, previews, done, total, place_of(render) if is_moving else None)


def version_named(user: Viewer, reference: str) -> Version:
    """Return the version that ``owner/name@v1`` names; without one the latest.

    Raises:
        NotFound: there is none that the user may see.
    """
    full_name, _at, version = reference.strip().partition("@")
    owner, _slash, name = full_name.partition("/")
    try:
        adapter = adapter_selectors.get(user, owner, name)
    except Moved as moved:
        adapter = adapter_selectors.get(user, *moved.facts["full_name"].split("/"))
    return version_selectors.get(user, adapter, version or version_selectors.LATEST)


def name_of(version: Version) -> str:
    """Return ``owner/name@v1``."""
    return f"{version.adapter.full_name}@{version.name}"
