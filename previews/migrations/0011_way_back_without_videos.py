"""On the way back videos go, and renders with a second base model. Forward: nothing.

Apart from the schema, because PostgreSQL changes no table in the transaction that took rows out of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import migrations
from django.db.models import Q

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FILM = {"media_type": "video/mp4"}


def forget_videos(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Delete what the release before cannot show; it is rendered again after the next update."""

    def forget(name: str, **where: object) -> None:
        # One table after the other: models of a migration know no cascade across their states.
        apps.get_model("previews", name).objects.filter(**where)._raw_delete(
            editor.connection.alias
        )

    render, image = apps.get_model("previews", "Render"), apps.get_model("previews", "Image")
    of_films = image.objects.filter(**FILM).values("render")
    unknown = list(
        render.objects.filter(Q(pk__in=of_films) | Q(rank__gt=0)).values_list("pk", flat=True)
    )
    for first in range(0, len(unknown), 500):
        some = unknown[first : first + 500]
        images = list(image.objects.filter(render__in=some).values_list("pk", flat=True))
        for start in range(0, len(images), 500):
            forget("Cover", image__in=images[start : start + 500])
        for name in ("Sheet", "Layer", "Tryout", "Image"):
            forget(name, render__in=some)
        forget("Render", pk__in=some)
    forget("Control", **FILM)


class Migration(migrations.Migration):
    """Deletes rows on the way back."""

    dependencies = [
        ("previews", "0010_videos"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_videos),
    ]
