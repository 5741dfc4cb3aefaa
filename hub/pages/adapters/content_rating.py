"""Content rating: pictures of mature adapters are blurred until a viewer asks to see them.

A blurred picture is the tiny placeholder of the rendered one, so the page does not hold the address
of a sharp picture. Who is signed in chooses once under “Content”; everybody may ask for one page by
its address (``?show=mature``). Nobody's own adapters are blurred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from registry.models import Maturity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest

    from previews.pictures.selectors import Picture
    from registry.models import Adapter, User

SHOW, MATURE = "show", "mature"
#: Parameters that ask for a part of a page instead of the page.
_OF_PARTS = {"part", "first"}


@dataclass(frozen=True, slots=True)
class Rating:
    """The rating of a mature adapter as one viewer meets it.

    Attributes:
        label: In a word.
        is_blurred: Whether its pictures are blurred for the viewer.
        is_asked: Whether the address asks to see them.
        show_url: Address of the page with its pictures.
        placeholder: The blurred picture as a ``data:`` address, empty where there is none.
    """

    label: str
    is_blurred: bool
    is_asked: bool
    show_url: str
    placeholder: str = ""

    @property
    def query(self) -> str:
        """What addresses of parts of the page need, so that these are shown as the page is."""
        return f"&{urlencode({SHOW: MATURE})}" if self.is_asked else ""


def is_blurred(user: User | AnonymousUser | None, adapter: Adapter) -> bool:
    """Tell whether a viewer is shown an adapter's pictures blurred, unless they ask."""
    if adapter.maturity != Maturity.MATURE:
        return False
    if user is None or not user.is_authenticated:
        return True
    return not (user.shows_mature or adapter.namespace.user_id == user.pk)


def rating_of(
    request: HttpRequest, adapter: Adapter, *, page: str = "", pictures: Iterable[Picture] = ()
) -> Rating | None:
    """Return the rating of an adapter, None where it needs no care.

    Args:
        request: Who looks, and with which address.
        adapter: Whose pictures.
        page: Path of the page, where the request is for a part of it.
        pictures: What would be shown.
    """
    if adapter.maturity != Maturity.MATURE:
        return None
    is_asked = request.GET.get(SHOW) == MATURE
    return Rating(
        label=str(Maturity.MATURE.label),
        is_blurred=is_blurred(request.user, adapter) and not is_asked,
        is_asked=is_asked,
        show_url=f"{page or request.path}?{_asking(request.GET)}",
        placeholder=placeholder_of(pictures),
    )


def _asking(query: Mapping[str, str]) -> str:
    kept = {name: value for name, value in query.items() if name not in _OF_PARTS}
    return urlencode({**kept, SHOW: MATURE})


def placeholder_of(pictures: Iterable[Picture]) -> str:
    """Return the placeholder of the last picture that has one, empty where none has."""
    found = [one.placeholder for one in pictures if one.placeholder]
    return found[-1] if found else ""
