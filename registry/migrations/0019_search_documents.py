"""Documents and spellings that searches look through. Before deploy: adds tables.

The full-text index follows after the migrations (``registry.search.schema``).
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0018_index_of_updates"),
    ]

    operations = [
        migrations.CreateModel(
            name="SearchDocument",
            fields=[
                ("adapter", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="registry.adapter")),
                ("exact", models.TextField(blank=True)),
                ("name", models.TextField(blank=True)),
                ("triggers", models.TextField(blank=True)),
                ("tags", models.TextField(blank=True)),
                ("base", models.TextField(blank=True)),
                ("kind", models.TextField(blank=True)),
                ("owner", models.TextField(blank=True)),
                ("summary", models.TextField(blank=True)),
                ("card", models.TextField(blank=True)),
                ("rank", models.PositiveIntegerField(blank=True, null=True)),
                ("size_bytes", models.PositiveBigIntegerField(blank=True, null=True)),
                ("form", models.PositiveSmallIntegerField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["rank", "adapter"], name="search_by_rank"),
                    models.Index(fields=["size_bytes", "adapter"], name="search_by_size"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SpellingKey",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=64)),
                ("word", models.CharField(max_length=64)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("key", "word"), name="spelling_key_once"),
                ],
            },
        ),
    ]
