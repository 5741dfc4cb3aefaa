"""Optional trigger words of versions. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0024_indexes_of_jobs"),
    ]

    operations = [
        migrations.AddField(
            model_name="version",
            name="optional_trigger_words",
            field=models.JSONField(blank=True, db_default=[], default=list),
        ),
    ]
