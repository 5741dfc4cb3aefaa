"""Files of pictures that everyone may see: the query of most requests for a picture.

Each is one compiled query. It finds nothing for pictures of drafts, try-outs and adapters that are
not public: permissions on those are checked elsewhere.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from previews.models import Image
from registry.compiled_queries import Compiled, integer
from registry.models import OUT_STATES, Visibility
from registry.versions.files import Bytes

#: The largest id that all databases accept as a parameter.
MAX_NUMBER = 2**31 - 1


def picture(image_id: int) -> Bytes | None:
    """Return the PNG of a picture; None if it is not public."""
    return _first(_PICTURE, image_id)


def animation(image_id: int) -> Bytes | None:
    """Return the animation of a video; None without one, and if it is not public."""
    return _first(_ANIMATION, image_id)


def picture_and_width(image_id: int) -> tuple[Bytes, int] | None:
    """Return the PNG of a picture, and its width in pixels; None if it is not public."""
    row = _first_row(_PICTURE_AND_WIDTH, image_id)
    return None if row is None else (_bytes(row), int(row[3]))


def _first(query: Compiled, image_id: int) -> Bytes | None:
    row = _first_row(query, image_id)
    return None if row is None else _bytes(row)


def _first_row(query: Compiled, image_id: int) -> tuple[Any, ...] | None:
    return None if image_id > MAX_NUMBER else query.first(image_id=image_id)


def _bytes(row: tuple[Any, ...]) -> Bytes:
    return Bytes(row[0], row[1], bool(row[2]))


def _rows(blob: str, image_id: int, *more: str) -> QuerySet[Image, Any]:
    """Return the query for the columns of ``Bytes`` of a blob of a picture, and more columns."""
    conditions: dict[str, Any] = {"pk": image_id, f"{blob}__isnull": False}
    rows = Image.objects.filter(
        render__version__state__in=OUT_STATES,
        render__version__adapter__visibility=Visibility.PUBLIC,
        render__version__adapter__blocked_reason="",
        **conditions,
    )
    columns = (f"{blob}__{column}" for column in Bytes._fields)
    return rows.order_by().values_list(*columns, *more)[:1]


_ID = integer(1)
_PICTURE = Compiled(lambda image_id: _rows("blob", image_id), image_id=_ID)
_ANIMATION = Compiled(lambda image_id: _rows("animation", image_id), image_id=_ID)
_PICTURE_AND_WIDTH = Compiled(lambda image_id: _rows("blob", image_id, "width"), image_id=_ID)
