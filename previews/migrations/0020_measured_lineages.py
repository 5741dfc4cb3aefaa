"""What workers measure about the lineage of versions. Before the deploy."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates a table."""

    dependencies = [
        ("previews", "0019_way_back_without_reports_of_packs"),
        ("registry", "0044_leases_and_xet"),
    ]

    operations = [
        migrations.CreateModel(
            name="MeasuredLineage",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("method", models.PositiveSmallIntegerField()),
                ("lineage", models.CharField(blank=True, max_length=120)),
                ("document", models.JSONField()),
                ("inputs_digest", models.CharField(max_length=64)),
                ("bases_digest", models.CharField(max_length=64)),
                ("measured_at", models.DateTimeField(auto_now=True)),
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="measured_lineage",
                        to="registry.version",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("inputs_digest__regex", "^[0-9a-f]{64}$"),
                            ("bases_digest__regex", "^[0-9a-f]{64}$"),
                        ),
                        name="measured_lineage_digests_are_hex",
                    )
                ],
            },
        ),
    ]
