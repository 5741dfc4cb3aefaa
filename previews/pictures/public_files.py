"""Files of pictures that everyone may see: the query of most requests for a picture.

Each is one compiled query. It finds nothing for pictures of drafts, try-outs and adapters that are
not public: permissions on those are checked elsewhere.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from previews.models import Image
from registry.compiled_queries import Compiled, integer, text
from registry.models import OUT_STATES, Visibility
from registry.versions.files import Bytes

#: The largest id that all databases accept as a parameter.
MAX_NUMBER = 2**31 - 1


def picture(image_id: int) -> Bytes | None:
    """Return the PNG of a picture; None if it is not public."""
    return _first(_PICTURE, image_id=image_id)


def animation(image_id: int) -> Bytes | None:
    """Return the animation of a video; None without one, and if it is not public."""
    return _first(_ANIMATION, image_id=image_id)


def smaller(image_id: int, width: int, kind: str) -> Bytes | None:
    """Return a smaller form of a picture; None without one, and if it is not public."""
    return _first(_SMALLER, image_id=image_id, width=width, kind=kind)


def _first(query: Compiled, **values: str | int) -> Bytes | None:
    if any(isinstance(value, int) and value > MAX_NUMBER for value in values.values()):
        return None
    row = query.first(**values)
    return None if row is None else Bytes(row[0], row[1], bool(row[2]))


def _rows(blob: str, image_id: int, **more: str | int) -> QuerySet[Image, Any]:
    """Return the query for the columns of ``Bytes`` of a blob of a picture."""
    conditions: dict[str, Any] = {"pk": image_id, f"{blob}__isnull": False, **more}
    rows = Image.objects.filter(
        render__version__state__in=OUT_STATES,
        render__version__adapter__visibility=Visibility.PUBLIC,
        render__version__adapter__blocked_reason="",
        **conditions,
    )
    columns = (f"{blob}__{column}" for column in Bytes._fields)
    return rows.order_by().values_list(*columns)[:1]


def _smaller_rows(image_id: int, width: int, kind: str) -> QuerySet[Image, Any]:
    return _rows(
        "blob__derivatives__blob",
        image_id,
        blob__derivatives__width=width,
        blob__derivatives__kind=kind,
    )


_ID = integer(1)
_PICTURE = Compiled(lambda image_id: _rows("blob", image_id), image_id=_ID)
_ANIMATION = Compiled(lambda image_id: _rows("animation", image_id), image_id=_ID)
_SMALLER = Compiled(_smaller_rows, image_id=_ID, width=integer(2), kind=text("kind"))
