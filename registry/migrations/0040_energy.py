"""The energy of weights by block of their base model. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0039_request_ids_and_sizes"),
    ]

    operations = [
        migrations.AddField(
            model_name="blobanatomy",
            name="energies",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
