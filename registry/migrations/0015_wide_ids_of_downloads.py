"""Eight bytes for the ids of daily downloads, which four run out of. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0014_digests_of_weights")]

    operations = [
        migrations.AlterField(
            "dailydownloads", "id", models.BigAutoField(primary_key=True, serialize=False)
        )
    ]
