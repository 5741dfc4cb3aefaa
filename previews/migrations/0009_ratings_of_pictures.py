"""Content ratings of single pictures. Before deploy: adds columns."""

from django.db import migrations, models

LEVELS = [
    ("general", "General"),
    ("suggestive", "Suggestive"),
    ("mature", "Mature"),
    ("explicit", "Explicit"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("previews", "0008_chosen_covers"),
    ]

    operations = [
        migrations.AddField(
            model_name="image",
            name="maturity",
            field=models.CharField(
                blank=True, choices=LEVELS, db_default="", default="", max_length=16
            ),
        ),
        migrations.AddField(
            model_name="sample",
            name="maturity",
            field=models.CharField(
                blank=True, choices=LEVELS, db_default="", default="", max_length=16
            ),
        ),
    ]
