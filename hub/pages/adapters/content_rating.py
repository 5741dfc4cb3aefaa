"""Content rating: pictures above a viewer's level are blurred until the viewer asks to see them.

A blurred picture is the placeholder of the real one, so the page does not contain the URL of the
full picture. Users choose their level under “Blurred pictures”; anonymous users see pictures up to
“suggestive”. Anyone can open a single page with ``?show=LEVEL``. A user's own adapters are never
blurred.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from previews.pictures.selectors import Picture
from registry.models import Adapter, Maturity, Pack, User

SHOW = "show"
#: Query parameters that request a part of a page.
_OF_PARTS = {"part", "first"}


@dataclass(frozen=True, slots=True)
class Rating:
    """The rating of an adapter's pictures for one viewer.

    Attributes:
        level: The highest rating of the pictures.
        is_blurred: Whether they are blurred for the viewer.
        asked: Level up to which the URL asks to see pictures; "" if it does not.
        show_url: URL of the page with its pictures.
        placeholder: The blurred picture as a ``data:`` URL, empty if there is none.
    """

    level: Maturity
    is_blurred: bool
    asked: str
    show_url: str
    placeholder: str = ""

    @property
    def label(self) -> str:
        """Return the name of the rating."""
        return str(self.level.label)

    @property
    def query(self) -> str:
        """Return the query parameter with which parts of the page show the same pictures."""
        return f"&{urlencode({SHOW: self.asked})}" if self.asked else ""


def level_of(adapter: Adapter, own: str = "") -> Maturity:
    """Return the rating of a picture: its own, or that of its adapter."""
    return Maturity(own or adapter.maturity)


def asked_level(request: HttpRequest) -> str:
    """Return the level up to which the URL asks to see pictures; "" if it does not."""
    asked = request.GET.get(SHOW, "")
    return asked if asked in Maturity.values else ""


def is_blurred(
    user: User | AnonymousUser | None, owned: Adapter | Pack, level: Maturity, asked: str = ""
) -> bool:
    """Whether pictures of an adapter or a pack with a rating are blurred for a viewer.

    Args:
        asked: Result of ``asked_level``.
    """
    limit = Maturity.SUGGESTIVE
    if user is not None and user.is_authenticated:
        if owned.namespace.user_id == user.pk:
            return False
        limit = Maturity(user.shows_up_to)
    return level not in limit.up_to and level not in (Maturity(asked).up_to if asked else ())


def rating_of(
    request: HttpRequest, adapter: Adapter, *, page: str = "", pictures: Iterable[Picture] = ()
) -> Rating:
    """Return the rating of an adapter's pictures; without pictures, that of the adapter.

    Args:
        page: Path of the page, if the request is for a part of it.
    """
    pictures = list(pictures)
    levels = [level_of(adapter, one.maturity) for one in pictures] or [level_of(adapter)]
    level = max(levels, key=lambda one: one.rank)
    return rating_at(request, adapter, level, page=page, pictures=pictures)


def rating_at(
    request: HttpRequest,
    owned: Adapter | Pack,
    level: Maturity,
    *,
    page: str = "",
    pictures: Iterable[Picture] = (),
) -> Rating:
    """Return the rating of pictures of an adapter or a pack at a level; see ``rating_of``."""
    asked = asked_level(request)
    return Rating(
        level=level,
        is_blurred=is_blurred(request.user, owned, level, asked),
        asked=asked,
        show_url=show_url(request, level, page=page),
        placeholder=placeholder_of(pictures),
    )


def show_url(request: HttpRequest, level: Maturity, *, page: str = "") -> str:
    """Return the URL of a page with its pictures up to a level.

    Args:
        page: Path of the page, if the request is for a part of it.
    """
    kept = {name: value for name, value in request.GET.items() if name not in _OF_PARTS}
    return f"{page or request.path}?{urlencode({**kept, SHOW: level.value})}"


def placeholder_of(pictures: Iterable[Picture]) -> str:
    """Return the placeholder of the last picture that has one, otherwise ""."""
    found = [one.placeholder for one in pictures if one.placeholder]
    return found[-1] if found else ""
