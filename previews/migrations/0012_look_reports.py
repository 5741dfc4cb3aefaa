"""Look reports and their pictures. Before deploy: adds tables."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("previews", "0011_way_back_without_videos"),
        ("registry", "0030_fill_more_facets"),
    ]

    operations = [
        migrations.CreateModel(
            name="Report",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("base", models.CharField(max_length=48)),
                ("recipe", models.JSONField()),
                ("recipe_digest", models.CharField(max_length=64)),
                ("strength", models.FloatField()),
                ("trigger_words", models.JSONField(blank=True, default=list)),
                ("encoder", models.CharField(blank=True, max_length=255)),
                ("encoder_digest", models.CharField(blank=True, max_length=64)),
                ("figures", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="registry.job",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reports",
                        to="registry.version",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ReportPicture",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "part",
                    models.CharField(
                        choices=[
                            ("look", "With trigger words"),
                            ("plain", "Without trigger words"),
                            ("unrelated", "Unrelated prompt"),
                        ],
                        max_length=16,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField()),
                ("prompt_index", models.PositiveSmallIntegerField()),
                ("prompt", models.TextField()),
                ("seed", models.PositiveBigIntegerField()),
                ("strength", models.FloatField()),
                ("width", models.PositiveIntegerField()),
                ("height", models.PositiveIntegerField()),
                (
                    "blob",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="report_pictures",
                        to="registry.blob",
                    ),
                ),
                (
                    "report",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pictures",
                        to="previews.report",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["queued", "running"])),
                fields=("version",),
                name="report_one_open_per_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "ready")),
                fields=("version",),
                name="report_one_ready_per_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.CheckConstraint(
                condition=models.Q(("recipe_digest__regex", "^[0-9a-f]{64}$")),
                name="report_recipe_digest_is_hex",
            ),
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "ready"), _negated=True),
                    ("encoder_digest__regex", "^[0-9a-f]{64}$"),
                    _connector="OR",
                ),
                name="report_ready_says_encoder",
            ),
        ),
        migrations.AddConstraint(
            model_name="report",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "failed"), _negated=True),
                    models.Q(("reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="report_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="reportpicture",
            constraint=models.UniqueConstraint(
                fields=("report", "part", "prompt_index", "seed", "strength"),
                name="report_picture_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="reportpicture",
            constraint=models.CheckConstraint(
                condition=models.Q(("height__gt", 0), ("width__gt", 0)),
                name="report_picture_has_a_size",
            ),
        ),
    ]
