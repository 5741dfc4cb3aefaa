"""Indexes for lists of an owner and of a kind, newest first. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0026_levels_of_ratings"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["namespace", "-published_at"], name="adapter_by_owner"),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["kind", "-published_at"], name="adapter_by_kind"),
        ),
    ]
