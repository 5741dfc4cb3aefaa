"""On the way back look reports of cover sheets go. Forward: nothing.

Apart from the schema, because PostgreSQL changes no table in the transaction that took rows out of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import migrations

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def forget_reports(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Delete what the release before cannot show; it is measured again after the next update."""
    del editor
    apps.get_model("previews", "Report").objects.filter(version__isnull=True).delete()


class Migration(migrations.Migration):
    """Deletes rows on the way back."""

    dependencies = [
        ("previews", "0018_look_reports_of_packs"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_reports),
    ]
