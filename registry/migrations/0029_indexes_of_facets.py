"""Indexes of lists by a filter, newest first. Before deploy.

They are apart from the new columns, whose transaction keeps all others from reading adapters.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0028_more_facets"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=[name, "-published_at"], name=f"adapter_by_{name}"),
        )
        for name in ("maturity", "parts", "trainer", "permissions")
    ]
