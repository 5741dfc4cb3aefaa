"""The pages of a pack's aliases."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from hub.pages.packs.views import pack_of
from hub.pages.versioned import aliases as pages
from hub.pages.versioned.aliases import MOVES, Aliases, Row, Step, Target
from registry.accounts.permissions import require_pack
from registry.models import OUT_STATES, Pack, PackAlias, PackVersion, User, VersionState
from registry.packs import aliases
from registry.packs import selectors as pack_selectors


class PackAliases(Aliases):
    """The aliases of a pack, which point to versions."""

    names = {"page": "pack", "aliases": "pack-aliases", "alias_remove": "pack-alias-remove"}
    is_pack = True

    def __init__(self, pack: Pack) -> None:
        self.thing: Pack = pack

    def require(self, user: User | AnonymousUser) -> User:
        """Return the user, who must be allowed to change the pack."""
        return require_pack(user, self.thing)

    def choices(self) -> list[tuple[str, str]]:
        """Return the versions that were not withdrawn."""
        rows = self.thing.versions.filter(state__in=OUT_STATES).order_by("-number")
        return [(row.name, row.name) for row in rows]

    def rows(self) -> list[Row]:
        """Return the aliases by name."""
        return [_row(alias) for alias in pack_selectors.aliases(self.thing)]

    def row(self, name: str) -> Row:
        """Return one alias."""
        return _row(pack_selectors.alias(self.thing, name))

    def history(self) -> list[Step]:
        """Return the last moves."""
        return [
            Step(
                when=move.created_at,
                alias=move.alias.name,
                before=_target(move.before),
                after=_target(move.after),
                by=move.actor.username,
            )
            for move in pack_selectors.alias_moves(self.thing)[:MOVES]
        ]

    def point(self, user: User, name: str, to: str, seen: str) -> None:
        """Create or move an alias."""
        expected = pack_selectors.version(self.thing, seen) if seen else None
        version = pack_selectors.version(self.thing, to)
        aliases.point(actor=user, pack=self.thing, name=name, to=version, expected=expected)

    def remove(self, user: User, name: str) -> None:
        """Remove an alias."""
        aliases.remove(actor=user, pack=self.thing, name=name)


def _row(alias: PackAlias) -> Row:
    target = _target(alias.version) or Target()
    return Row(alias.name, target, target.name, alias.updated_at, str(vars(alias)["mover"]))


def _target(version: PackVersion | None) -> Target | None:
    if version is None:
        return None
    is_out = version.state == VersionState.PUBLISHED
    return Target(version.name, "" if is_out else str(version.get_state_display()))


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """List aliases and their moves; create or move one."""
    pack = pack_of(request, owner, name)
    if pack.withdrawn_reason:
        raise pack_selectors.gone(pack)
    return pages.index(request, PackAliases(pack))


@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, owner: str, name: str, alias: str) -> HttpResponse:
    """Confirm, then remove an alias."""
    return pages.remove(request, PackAliases(pack_of(request, owner, name)), alias)
