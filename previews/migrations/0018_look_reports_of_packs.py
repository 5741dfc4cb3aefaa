"""Look reports of packs' cover sheets. Before the deploy: the release before writes none."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """A report is of a version or of a cover sheet."""

    dependencies = [
        ("previews", "0017_groups_of_tryouts"),
    ]

    operations = [
        migrations.AlterField(
            model_name="report",
            name="version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="reports",
                to="registry.version",
            ),
        ),
        migrations.AddField(
            model_name="report",
            name="render",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="report",
                to="previews.render",
            ),
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("render__isnull", True), ("version__isnull", False)),
                    models.Q(("render__isnull", False), ("version__isnull", True)),
                    _connector="OR",
                ),
                name="report_is_of_one_thing",
            ),
        ),
    ]
