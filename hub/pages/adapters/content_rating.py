"""Content rating: pictures of mature adapters are blurred until the viewer chooses to see them.

A blurred picture is the placeholder of the rendered one, so the page does not contain the URL of
the full picture. Users choose once under “Content”; anyone can open a single page with
``?show=mature``. A user's own adapters are never blurred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from previews.pictures.selectors import Picture
from registry.models import Adapter, Maturity, User

SHOW, MATURE = "show", "mature"
#: Query parameters that request a part of a page.
_OF_PARTS = {"part", "first"}


@dataclass(frozen=True, slots=True)
class Rating:
    """The rating of a mature adapter for one viewer.

    Attributes:
        label: Name of the rating.
        is_blurred: Whether its pictures are blurred for the viewer.
        is_asked: Whether the URL asks to see them.
        show_url: URL of the page with its pictures.
        placeholder: The blurred picture as a ``data:`` URL, empty if there is none.
    """

    label: str
    is_blurred: bool
    is_asked: bool
    show_url: str
    placeholder: str = ""

    @property
    def query(self) -> str:
        """Return the query parameter that URLs of parts of the page need to show the same."""
        return f"&{urlencode({SHOW: MATURE})}" if self.is_asked else ""


def is_blurred(user: User | AnonymousUser | None, adapter: Adapter) -> bool:
    """Whether an adapter's pictures are blurred for a viewer by default."""
    if adapter.maturity != Maturity.MATURE:
        return False
    if user is None or not user.is_authenticated:
        return True
    return not (user.shows_mature or adapter.namespace.user_id == user.pk)


def rating_of(
    request: HttpRequest, adapter: Adapter, *, page: str = "", pictures: Iterable[Picture] = ()
) -> Rating | None:
    """Return the rating of an adapter, None if it is not mature.

    Args:
        page: Path of the page, if the request is for a part of it.
    """
    if adapter.maturity != Maturity.MATURE:
        return None
    is_asked = request.GET.get(SHOW) == MATURE
    return Rating(
        label=str(Maturity.MATURE.label),
        is_blurred=is_blurred(request.user, adapter) and not is_asked,
        is_asked=is_asked,
        show_url=f"{page or request.path}?{_with_shown(request.GET)}",
        placeholder=placeholder_of(pictures),
    )


def _with_shown(query: Mapping[str, str]) -> str:
    kept = {name: value for name, value in query.items() if name not in _OF_PARTS}
    return urlencode({**kept, SHOW: MATURE})


def placeholder_of(pictures: Iterable[Picture]) -> str:
    """Return the placeholder of the last picture that has one, else ""."""
    found = [one.placeholder for one in pictures if one.placeholder]
    return found[-1] if found else ""
