"""The form in which visitors try packs: one text field, and on the home page a choice of looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from hub.pages.packs.cards import PackCard, PackCover, pack_cards
from previews.renders.messages import no_renderer
from previews.tryouts import packs as pack_tryouts
from registry.models import LookKind
from registry.packs import selectors as pack_selectors
from registry.packs.parts import variants_of
from registry.packs.selectors import PackQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest

    from registry.models import Pack, PackVariant, PackVersion

#: Looks to choose from on the home page, and the newest packs that they are among.
LOOKS, NEWEST = 6, 24


@dataclass(frozen=True, slots=True)
class TryoutForm:
    """The form.

    Attributes:
        pack: Full name of the pack; empty with a choice of ``looks``.
        version: Name of a version other than the latest.
        prompt: What was entered.
        unserved: Why nothing can be rendered, empty if something can.
        needs_account: Whether the viewer has to sign in first.
        looks: Packs to choose from.
        is_place: Whether the look is a character, so that a place is entered instead of a subject.
        knows: Which subjects the base model can draw; empty without such limits, and for places.
    """

    pack: str = ""
    version: str = ""
    prompt: str = ""
    unserved: str = ""
    needs_account: bool = False
    looks: Sequence[PackCard] = ()
    is_place: bool = False
    knows: str = ""


def needs_account(request: HttpRequest) -> bool:
    """Whether the viewer needs an account to try packs."""
    return not request.user.is_authenticated and not settings.LORARY.try_strangers


def form_of_pack(
    request: HttpRequest,
    pack: Pack,
    variants: Sequence[PackVariant],
    *,
    version: PackVersion | None = None,
    prompt: str = "",
) -> TryoutForm:
    """Return the form of a pack.

    Args:
        request: Of the viewer.
        pack: The pack.
        variants: Those of the version.
        version: If it is not the latest.
        prompt: What was entered.
    """
    served = pack_tryouts.served_of(variants)
    return TryoutForm(
        pack=pack.full_name,
        version=version.name if version is not None else "",
        prompt=prompt,
        unserved="" if served or not variants else no_renderer(variants[0].family),
        needs_account=needs_account(request),
        is_place=_is_character(pack),
        knows="" if _is_character(pack) else _known_subjects(served),
    )


def home_form(request: HttpRequest) -> TryoutForm | None:
    """Return the form of the home page; None if there are no packs that it could show.

    Packs with a cover of their own come first. Characters come last: a subject is entered, and
    they are one.
    """
    rows = pack_selectors.search(request.user, PackQuery())
    newest, _more = pack_selectors.page(rows, cursor="", limit=NEWEST)
    if not newest:
        return None
    shown = [card for card in pack_cards(request, newest) if _is_shown(card)]
    cards = sorted(shown, key=_place)
    if not cards:
        return None
    every = (variant for card in cards for variant in variants_of(card.pack.latest_version))
    variants = pack_tryouts.served_of(every)
    versions = {one.version_id for one in variants}
    served = [card for card in cards if card.pack.latest_version_id in versions]
    return TryoutForm(
        unserved="" if served else no_renderer(variants_of(cards[0].pack.latest_version)[0].family),
        needs_account=needs_account(request),
        looks=(served or cards)[:LOOKS],
        knows=_known_subjects(variants),
    )


def _place(card: PackCard) -> tuple[bool, bool]:
    return _is_character(card.pack), not isinstance(card.cover, PackCover)


def _known_subjects(served: Iterable[PackVariant]) -> str:
    """Return what the miniature can draw, if all of the variants are for it."""
    if {one.family for one in served} != {"miniature"}:
        return ""
    return _(
        "The base model of this demo is small. It draws mountains, trees, houses, castles, sailing "
        "boats, lighthouses, cars, balloons, rockets, cats, dogs, foxes, birds, fish, mushrooms, "
        "flowers, women and men; other subjects become one of these."
    )


def _is_shown(card: PackCard) -> bool:
    """Whether the first page shows a pack: complete, for everybody, with a picture."""
    cover = card.cover
    is_blurred = cover is None or bool(cover.blur)
    return not (card.is_incomplete or card.rating or card.visibility or is_blurred)


def _is_character(pack: Pack) -> bool:
    return pack.kind == LookKind.CHARACTER
