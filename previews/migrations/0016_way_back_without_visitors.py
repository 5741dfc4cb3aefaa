"""On the way back the try-outs of visitors go. Forward: nothing.

Apart from the schema, because PostgreSQL changes no table in the transaction that took rows out of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import migrations

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def forget_visitors(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Delete the try-outs that nobody owns, which the release before cannot read."""
    tryouts = apps.get_model("previews", "Tryout").objects.filter(user=None)
    renders = list(tryouts.values_list("render", flat=True))
    for first in range(0, len(renders), 500):
        some = renders[first : first + 500]
        # One table after the other: models of a migration know no cascade across their states.
        for name in ("Layer", "Tryout", "Image"):
            rows = apps.get_model("previews", name).objects.filter(render__in=some)
            rows._raw_delete(editor.connection.alias)
        rows = apps.get_model("previews", "Render").objects.filter(pk__in=some)
        rows._raw_delete(editor.connection.alias)


class Migration(migrations.Migration):
    """Deletes rows on the way back."""

    dependencies = [
        ("previews", "0015_tryouts_of_packs"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_visitors),
    ]
