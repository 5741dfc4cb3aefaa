"""On the way back cover sheets go, and what else was rendered of packs. Forward: nothing.

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


def forget_packs(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Delete what the release before cannot show; it is rendered again after the next update."""

    def forget(name: str, **where: object) -> None:
        # One table after the other: models of a migration know no cascade across their states.
        apps.get_model("previews", name).objects.filter(**where)._raw_delete(
            editor.connection.alias
        )

    render, layer = apps.get_model("previews", "Render"), apps.get_model("previews", "Layer")
    of_parts = layer.objects.filter(file__isnull=False).values("render")
    unknown = list(
        render.objects.filter(Q(kind="pack") | Q(pk__in=of_parts)).values_list("pk", flat=True)
    )
    for first in range(0, len(unknown), 500):
        some = unknown[first : first + 500]
        for name in ("Sheet", "Layer", "Tryout", "Image"):
            forget(name, render__in=some)
        forget("Render", pk__in=some)


class Migration(migrations.Migration):
    """Deletes rows on the way back."""

    dependencies = [
        ("previews", "0013_cover_sheets_of_packs"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_packs),
    ]
