"""Finding packs and their versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.utils.translation import gettext as _

from registry.adapters.selectors import by_name, id_of_owner
from registry.errors import CursorInvalid, Gone, NotFound
from registry.models import (
    OUT_STATES,
    Namespace,
    Pack,
    PackAlias,
    PackAliasMove,
    PackPart,
    PackVariant,
    PackVersion,
    VersionState,
)
from registry.packs import words
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models import User

LATEST = "latest"
#: Id of the last pack of a page; of a search by words, whether it names the pack or not.
_CURSOR = re.compile(r"(?P<named>[no]?)(?P<pk>[0-9]{1,18})")
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")


@dataclass(frozen=True, slots=True)
class PackQuery:
    """Filters of a list; empty fields do not filter.

    Attributes:
        q: What is searched, see ``registry.packs.words``.
        tag: A tag.
        family: Base family of a variant of the latest version.
        output: Output of a variant; with ``family``, of the same one.
    """

    q: str = ""
    owner: str = ""
    kind: str = ""
    tag: str = ""
    family: str = ""
    output: str = ""


def search(user: User | AnonymousUser | None, query: PackQuery) -> QuerySet[Pack]:
    """Return the published packs that match a query and that lists may show to a user."""
    listed = Pack.objects.listed_for(user).filter(published_at__isnull=False)
    rows = words.matching(listed, query.q)
    if query.owner:
        rows = rows.filter(namespace=id_of_owner(query.owner))
    if query.kind:
        rows = rows.filter(kind=query.kind)
    if query.tag:
        rows = rows.filter(tags__name=query.tag.casefold())
    limits = {"family": query.family, "output": query.output}
    if chosen := {name: value for name, value in limits.items() if value}:
        variants = PackVariant.objects.filter(version=OuterRef("latest_version"), **chosen)
        rows = rows.filter(Exists(variants))
    return rows


def page(rows: QuerySet[Pack], *, cursor: str, limit: int) -> tuple[list[Pack], str]:
    """Return a page of packs with what lists show, and the next cursor.

    The newest come first; of a search by words, those that it names come before the others.

    Raises:
        CursorInvalid: the cursor is not from this server.
    """
    is_ranked = "is_named" in rows.query.annotations
    if cursor:
        place = _CURSOR.fullmatch(cursor)
        if place is None or bool(place["named"]) != is_ranked:
            raise CursorInvalid(_("Start again from the first page."))
        following = Q(pk__lt=int(place["pk"]))
        if is_ranked:
            following &= Q(is_named=place["named"] == "n")
        if place["named"] == "n":
            following |= Q(is_named=False)
        rows = rows.filter(following)
    found = list(ranked(with_lists(rows))[: limit + 1])
    return found[:limit], _cursor_after(found[limit - 1]) if len(found) > limit else ""


def ranked(rows: QuerySet[Pack]) -> QuerySet[Pack]:
    """Return the results of a search in the order of ``page``."""
    is_ranked = "is_named" in rows.query.annotations
    return rows.order_by(*(["-is_named"] if is_ranked else []), "-pk")


def _cursor_after(pack: Pack) -> str:
    is_named = vars(pack).get("is_named")
    return f"{'' if is_named is None else 'n' if is_named else 'o'}{pack.pk}"


def with_lists(rows: QuerySet[Pack]) -> QuerySet[Pack]:
    """Return packs with what lists show: namespace, tags, and the latest version with its parts."""
    return rows.select_related("namespace", "latest_version").prefetch_related(
        "tags", Prefetch("latest_version__variants", with_parts())
    )


def with_parts() -> QuerySet[PackVariant]:
    """Return variants with their parts, files and adapters."""
    parts = PackPart.objects.select_related(
        "adapter_version__adapter__namespace",
        "adapter_version__adapter__latest_version",
        "file__blob",
    )
    return PackVariant.objects.prefetch_related(Prefetch("parts", parts))


def unpublished(user: User | AnonymousUser | None) -> QuerySet[Pack]:
    """Return the user's packs that never had a version, the last changed first."""
    rows = Pack.objects.listed_for(user).filter(published_at__isnull=True)
    return rows.select_related("namespace").order_by("-updated_at", "-pk")


def get(user: User | AnonymousUser | None, owner: str, name: str) -> Pack:
    """Return the pack ``owner/name`` if the user may see it.

    Raises:
        NotFound: there is none that the user may see.
        Blocked: an administrator blocked it, and the user is not of its namespace.
        Moved: it was renamed; ``facts["full_name"]`` is the current name.
    """
    return by_name(Pack.objects.visible_to(user), owner, name)


def gone(pack: Pack) -> Gone:
    """Return the refusal of a withdrawn pack, with its reason."""
    facts = {"name": pack.full_name, "reason": pack.withdrawn_reason}
    return Gone(
        _("“%(name)s” was withdrawn: %(reason)s") % facts,
        pack=pack.full_name,
        reason=pack.withdrawn_reason,
    )


def versions(pack: Pack) -> QuerySet[PackVersion]:
    """Return the versions of a pack, newest first."""
    return pack.versions.select_related("pack__namespace", "author").order_by("-number")


def version(pack: Pack, name: str = LATEST) -> PackVersion:
    """Return the version named by ``v3``, an alias or ``latest``. Raises NotFound: there is none.

    ``latest`` is the newest one that is offered, else the newest one, preferably not withdrawn.
    """
    rows = versions(pack).prefetch_related(Prefetch("variants", with_parts()))
    if name == LATEST:
        found = rows.filter(state=VersionState.PUBLISHED).first()
        found = found or rows.exclude(state=VersionState.WITHDRAWN).first() or rows.first()
    elif number := _NUMBER.match(name):
        found = rows.filter(number=int(number[1])).first()
    else:
        found = rows.filter(aliases__name=name).first()
    if found is None:
        facts = {"pack": pack.full_name, "version": name[:96]}
        numbers = versions(pack).filter(state__in=OUT_STATES).values_list("number", flat=True)[:5]
        text = _("The pack “%(pack)s” has no version “%(version)s”.") % facts
        if numbers:
            listed = ", ".join(f"v{number}" for number in numbers)
            text = f"{text} {_('Its newest versions are %(names)s.') % {'names': listed}}"
        raise NotFound(text, **facts)
    return found


def variants_to_try(pack: Pack, name: str = LATEST) -> list[PackVariant]:
    """Return the variants of a version that is offered or yanked.

    Raises:
        Gone: the pack or the version was withdrawn.
        NotFound: there is no such version.
    """
    if pack.withdrawn_reason:
        raise gone(pack)
    found = version(pack, name)
    if found.state == VersionState.WITHDRAWN:
        raise gone_version(found)
    return list(found.variants.all())


def exact_version(pack: Pack, name: str) -> PackVersion:
    """Return the version with this number, for requests that take versions down.

    Raises:
        NotFound: there is no such version.
        Invalid: the name can move; see ``registry.versions.selectors.exact``.
    """
    found = version(pack, name)
    if name != found.name:
        raise version_selectors.not_exact(found, name)
    return found


def gone_version(version: PackVersion) -> Gone:
    """Return the refusal of a withdrawn version, with its reason and digest."""
    pack = version.pack
    text = _("%(version)s was withdrawn: %(reason)s")
    latest = pack.latest_version.name if pack.latest_version else None
    facts = {"version": version.name, "reason": version.withdrawn_reason}
    detail = text % facts
    if latest:
        detail = f"{detail.rstrip('.')}. {_('Use %(latest)s instead.') % {'latest': latest}}"
    when = version.withdrawn_at
    return Gone(
        detail,
        **facts,
        pack=pack.full_name,
        state=version.state,
        manifest_sha256=version.manifest_sha256,
        withdrawn_at=when.isoformat() if when else None,
        latest_version=latest,
    )


def aliases(pack: Pack) -> QuerySet[PackAlias]:
    """Return the existing aliases by name, with their versions and, as ``mover``, who moved them.

    ``mover`` is the name of the user who moved an alias last.
    """
    moves = PackAliasMove.objects.filter(alias=OuterRef("pk")).order_by("-pk")
    rows = pack.aliases.filter(version__isnull=False).select_related("version")
    return rows.annotate(mover=Subquery(moves.values("actor__username")[:1])).order_by("name")


def alias(pack: Pack, name: str) -> PackAlias:
    """Return an existing alias. Raises NotFound: there is none."""
    found = aliases(pack).filter(name=name).first()
    if found is None:
        raise _no_alias(pack, name)
    return found


def alias_history(pack: Pack, name: str) -> QuerySet[PackAliasMove]:
    """Return the moves of an alias, newest first, also of a removed one.

    Raises:
        NotFound: there never was such an alias.
    """
    found = pack.aliases.filter(name=name).first()
    if found is None:
        raise _no_alias(pack, name)
    return found.moves.select_related("actor", "before", "after")


def alias_moves(pack: Pack) -> QuerySet[PackAliasMove]:
    """Return the moves of all aliases, newest first."""
    rows = PackAliasMove.objects.filter(alias__pack=pack)
    return rows.select_related("alias", "actor", "before", "after")


def _no_alias(pack: Pack, name: str) -> NotFound:
    facts = {"pack": pack.full_name, "alias": name[:96]}
    return NotFound(_("The pack “%(pack)s” has no alias “%(alias)s”.") % facts, **facts)


def stored_bytes(namespace: Namespace) -> int:
    """Return the bytes of the manifests of a namespace's packs."""
    rows = PackVersion.objects.filter(pack__namespace=namespace)
    return rows.aggregate(size=Sum("blob__size_bytes"))["size"] or 0
