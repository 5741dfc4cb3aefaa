"""Index of lists by base model and type, newest first. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0030_fill_more_facets"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(
                fields=["family", "kind", "-published_at"], name="adapter_by_family_kind"
            ),
        ),
    ]
