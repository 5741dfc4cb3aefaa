"""Counters of facets, and the columns and indexes they need. Before deploy.

Triggers write the counters once the next migration has filled the new column (``registry.apps``).
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0021_without_search_text"),
    ]

    operations = [
        migrations.CreateModel(
            name="FacetChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("field", models.CharField(max_length=16)),
                ("value", models.CharField(blank=True, max_length=96)),
                ("delta", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="FacetCount",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("field", models.CharField(max_length=16)),
                ("value", models.CharField(blank=True, max_length=96)),
                ("count", models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="adapter",
            name="algorithm",
            field=models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["lineage", "-published_at"], name="adapter_by_lineage"),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["algorithm", "-published_at"], name="adapter_by_algorithm"),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["licence", "-published_at"], name="adapter_by_licence"),
        ),
        migrations.AddIndex(
            model_name="facetcount",
            index=models.Index(fields=["field", "-count", "value"], name="facet_by_count"),
        ),
        migrations.AddConstraint(
            model_name="facetcount",
            constraint=models.UniqueConstraint(fields=("field", "value"), name="facet_count_once"),
        ),
    ]
