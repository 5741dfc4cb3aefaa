"""An index for lists by date of change, as Hub clients ask for. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0017_upload_anatomy"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["-updated_at", "-id"], name="adapter_by_update"),
        ),
    ]
