"""The pages of an adapter's aliases."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from hub.pages.versioned import aliases as pages
from hub.pages.versioned.aliases import MOVES, Aliases, Row, Step, Target
from registry.accounts.permissions import require_adapter
from registry.adapters import selectors as adapter_selectors
from registry.aliases import selectors as alias_selectors
from registry.aliases import services as aliases
from registry.aliases.selectors import Pointer
from registry.models import OUT_STATES, Adapter, Revision, User, Version, VersionState
from registry.versions import revisions


class AdapterAliases(Aliases):
    """The aliases of an adapter, which point to revisions; ``main`` is moved by publishing."""

    names = {"page": "adapter", "aliases": "aliases", "alias_remove": "alias-remove"}

    def __init__(self, adapter: Adapter) -> None:
        self.thing: Adapter = adapter

    def require(self, user: User | AnonymousUser) -> User:
        """Return the user, who must be allowed to change the adapter."""
        return require_adapter(user, self.thing)

    def choices(self) -> list[tuple[str, str]]:
        """Return the versions that were published, with their labels."""
        rows = self.thing.versions.filter(state__in=OUT_STATES).order_by("-number")
        return [(row.name, _called(row)) for row in rows]

    def rows(self) -> list[Row]:
        """Return the aliases by name."""
        served, _version = revisions.default_revisions([self.thing])[self.thing.pk]
        found = alias_selectors.pointers(alias_selectors.listing(self.thing))
        return [self._row(pointer, served) for pointer in found]

    def row(self, name: str) -> Row:
        """Return one alias."""
        (pointer,) = alias_selectors.pointers([alias_selectors.get(self.thing, name)])
        return self._row(pointer, pointer.alias.revision)

    def _row(self, pointer: Pointer, served: Revision | None) -> Row:
        alias, last = pointer.alias, pointer.last
        is_main = alias.name == revisions.MAIN
        latest = self.thing.latest_version
        is_skipped = is_main and alias.revision != served and latest is not None
        return Row(
            name=alias.name,
            target=_target(alias.revision, pointer.version),
            seen=alias.revision.commit if alias.revision else "",
            since=last.created_at if last else None,
            by=last.actor.username if last else "",
            is_fixed=is_main,
            instead=latest.name if is_skipped and latest else "",
        )

    def history(self) -> list[Step]:
        """Return the last moves."""
        return [
            Step(
                when=move.created_at,
                alias=move.alias.name,
                before=_of_revision(move.before),
                after=_of_revision(move.revision),
                by=move.actor.username,
            )
            for move in alias_selectors.moves(self.thing)[:MOVES]
        ]

    def point(self, user: User, name: str, to: str, seen: str) -> None:
        """Create or move an alias."""
        expected = revisions.revision_named(self.thing, seen) if seen else None
        revision = revisions.revision_named(self.thing, to)
        aliases.point(actor=user, adapter=self.thing, name=name, to=revision, expected=expected)

    def remove(self, user: User, name: str) -> None:
        """Remove an alias."""
        aliases.remove(actor=user, adapter=self.thing, name=name)


def _called(version: Version) -> str:
    return f"{version.name} · {version.label}" if version.label else version.name


def _target(revision: Revision | None, version: Version | None) -> Target:
    commit, message = (revision.commit, revision.message) if revision else ("", "")
    if version is None:
        return Target(revision=commit, message=message)
    is_out = version.state == VersionState.PUBLISHED
    return Target(version.name, "" if is_out else str(version.get_state_display()), commit)


def _of_revision(revision: Revision | None) -> Target | None:
    if revision is None:
        return None
    return _target(revision, next(iter(revision.versions.all()), None))


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """List aliases and their moves; create or move one."""
    adapter = adapter_selectors.get(request.user, owner, name)
    if adapter.withdrawn_reason:
        raise adapter_selectors.gone(adapter)
    return pages.index(request, AdapterAliases(adapter))


@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, owner: str, name: str, alias: str) -> HttpResponse:
    """Confirm, then remove an alias."""
    adapter = adapter_selectors.get(request.user, owner, name)
    return pages.remove(request, AdapterAliases(adapter), alias)
