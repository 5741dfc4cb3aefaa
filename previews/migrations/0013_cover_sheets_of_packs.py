"""Cover sheets of packs, and the files of their parts. Before deploy: adds columns."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("previews", "0012_look_reports"),
        ("registry", "0032_packs"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="layer",
            name="layer_version_once",
        ),
        migrations.RemoveConstraint(
            model_name="render",
            name="render_preview_is_of_a_version",
        ),
        migrations.AddField(
            model_name="layer",
            name="file",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="layers",
                to="registry.file",
            ),
        ),
        migrations.AddField(
            model_name="render",
            name="pack_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="renders",
                to="registry.packversion",
            ),
        ),
        migrations.AddField(
            model_name="render",
            name="variant",
            field=models.CharField(blank=True, db_default="", default="", max_length=48),
        ),
        migrations.AddField(
            model_name="sheet",
            name="height",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="sheet",
            name="width",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="render",
            name="kind",
            field=models.CharField(
                choices=[("preview", "Preview"), ("tryout", "Try-out"), ("pack", "Cover sheet")],
                db_default="preview",
                default="preview",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="layer",
            constraint=models.UniqueConstraint(
                condition=models.Q(("file__isnull", True)),
                fields=("render", "version"),
                name="layer_version_once_without_file",
            ),
        ),
        migrations.AddConstraint(
            model_name="layer",
            constraint=models.UniqueConstraint(fields=("render", "file"), name="layer_file_once"),
        ),
        migrations.AddConstraint(
            model_name="render",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["queued", "running", "waiting"])),
                fields=("pack_version", "variant"),
                name="render_one_open_per_variant",
            ),
        ),
        migrations.AddConstraint(
            model_name="render",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind", "preview"),
                        ("pack_version__isnull", True),
                        ("version__isnull", False),
                    ),
                    models.Q(
                        ("kind", "tryout"),
                        ("pack_version__isnull", True),
                        ("version__isnull", True),
                    ),
                    models.Q(
                        ("kind", "pack"),
                        ("pack_version__isnull", False),
                        ("version__isnull", True),
                        models.Q(("variant", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="render_is_of_its_kind",
            ),
        ),
    ]
