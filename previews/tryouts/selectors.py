"""Reads try-outs: who can see them, and which versions can be tried.

A try-out is visible to the user who requested it and, once shared, to everyone who has its
address, until it expires; one of a visitor without an account to everyone who has its address.
A viewer who cannot see one of its adapters, or its pack, cannot see it. A bound token sees only its
user's try-outs that include what it is bound to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from previews.models import OPEN_STATES, Layer, RenderState, Tryout
from previews.pictures.selectors import Picture, with_query
from previews.renders.queue_position import QueuePosition, position_of, steps_of
from previews.renders.selectors import Previews, of_render
from registry.errors import NotFound
from registry.models import OUT_STATES, Adapter, Pack, User, Version

Viewer = User | AnonymousUser | None

#: Seconds until a client should look again; a try-out that waits for a worker changes rarely.
LOOK_AGAIN_S: dict[str, int] = {
    RenderState.QUEUED: 2, RenderState.RUNNING: 1, RenderState.WAITING: 15,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TryoutStatus:
    """A try-out with its progress; ``done`` and ``total`` count steps over all its pictures.

    ``place`` is its position in the queue; None unless it is queued or running.
    """

    tryout: Tryout
    previews: Previews
    done: int
    total: int
    place: QueuePosition | None

    @property
    def is_open(self) -> bool:
        """Whether it is not finished."""
        return self.previews.state in OPEN_STATES

    @property
    def look_again_s(self) -> int:
        """Seconds until a client should look again; 0 if it is finished."""
        return LOOK_AGAIN_S.get(self.previews.state, 0)

    @property
    def seed(self) -> int:
        """The random seed."""
        return int(self.previews.recipe["seeds"][0])

    @property
    def last(self) -> Picture | None:
        """The picture of the stack; None until it is ready."""
        return self.previews.images[-1] if self.previews.images else None

    @property
    def layers(self) -> list[Layer]:
        """The stack in order."""
        return list(self.tryout.render.layers.all())


def triable_by(user: Viewer, versions: Iterable[Version] | None = None) -> QuerySet[Version]:
    """Return the versions that a user can try, of those given or of all."""
    adapters = Adapter.objects.visible_to(user).filter(blocked_reason="")
    rows = Version.objects.filter(adapters.among("adapter"), state__in=OUT_STATES)
    return rows if versions is None else rows.filter(pk__in=[one.pk for one in versions])


def group_of(tryout: Tryout) -> QuerySet[Tryout]:
    """Return the try-outs that were requested together with one, itself included, in order."""
    first = tryout.first_id or tryout.pk
    return Tryout.objects.filter(Q(pk=first) | Q(first=first)).order_by("pk")


def get_group(user: Viewer, key: UUID) -> list[Tryout]:
    """Return the group of a try-out; all of it is visible, or nothing."""
    rows = group_of(get(user, key))
    found = list(_with_all(rows.filter(pk__in=visible_to(user).values("pk"))))
    if len(found) < rows.count():
        raise NotFound(_("There is no such try-out. It may have expired."))
    return found


def visible_to(user: Viewer) -> QuerySet[Tryout]:
    """Return the try-outs that a user can see."""
    hidden = Layer.objects.filter(render=OuterRef("render")).exclude(
        version__in=triable_by(user).values("pk")
    )
    who = Q(is_shared=True) | Q(user=None)
    if user is not None and user.is_authenticated:
        who |= own(user)
    rows = Tryout.objects.filter(who, _has_pack(user), ~Exists(hidden))
    return rows.filter(expires_at__gt=timezone.now())


def _has_pack(user: Viewer) -> Q:
    """Return the condition for try-outs without a pack, or with one that a user can see."""
    packs = Pack.objects.visible_to(user).filter(withdrawn_reason="")
    of_pack = Q(pack_version__state__in=OUT_STATES, pack_version__pack__in=packs)
    return Q(pack_version=None) | of_pack


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


def visitors(keys: Iterable[UUID]) -> QuerySet[Tryout]:
    """Return those of these try-outs that visitors without an account requested, newest first."""
    return _with_all(visible_to(None).filter(user=None, key__in=list(keys)))


def _with_all(rows: QuerySet[Tryout]) -> QuerySet[Tryout]:
    return rows.select_related(
        "user", "render__recipe", "render__job", "pack_version__pack__namespace"
    ).prefetch_related("render__images", "render__layers__version__adapter__namespace")


def get(user: Viewer, key: UUID) -> Tryout:
    """Return a try-out."""
    found = _with_all(visible_to(user)).filter(key=key).first()
    if found is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    return found


def of_pack(user: Viewer, key: UUID) -> Tryout:
    """Return a try-out of a pack."""
    found = get(user, key)
    if found.pack_version_id is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    return found


def require_visible(user: Viewer, tryout: Tryout, *, key: str = "") -> None:
    """Raise ``NotFound`` unless the user can see a try-out's pictures.

    Args:
        user: The viewer.
        tryout: The try-out.
        key: Key in the address of the picture. All but the user who requested it need it, because
            the ids of pictures can be guessed.
    """
    is_own = user is not None and user.is_authenticated and user.pk == tryout.user_id
    is_named = is_own or key == str(tryout.key)
    if not is_named or not visible_to(user).filter(pk=tryout.pk).exists():
        raise NotFound(_("There is no such picture."))


def shown(tryout: Tryout, *, has_place: bool = True) -> TryoutStatus:
    """Return a try-out with its pictures and progress.

    Args:
        has_place: Whether to look up its position in the queue, which takes several queries.
    """
    render = tryout.render
    previews = of_render(render)
    if tryout.user_id is None or tryout.is_shared:
        images = [with_query(image, f"key={tryout.key}") for image in previews.images]
        previews = replace(previews, images=images)
    total = steps_of(render.recipe) if render.recipe else 0
    done = total if previews.state == RenderState.READY else 0
    if previews.state == RenderState.RUNNING and render.job is not None:
        done = min(total, render.job.done)
    has_place = has_place and previews.state in {RenderState.QUEUED, RenderState.RUNNING}
    return TryoutStatus(tryout, previews, done, total, position_of(render) if has_place else None)
