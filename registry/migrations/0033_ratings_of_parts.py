"""Content rating of a pack's part when it was published. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0032_packs"),
    ]

    operations = [
        migrations.AddField(
            model_name="packpart",
            name="maturity",
            field=models.CharField(
                choices=[
                    ("general", "General"),
                    ("suggestive", "Suggestive"),
                    ("mature", "Mature"),
                    ("explicit", "Explicit"),
                ],
                db_default="general",
                default="general",
                max_length=16,
            ),
        ),
    ]
