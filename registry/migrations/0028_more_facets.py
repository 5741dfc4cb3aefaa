"""Trained parts, trainer and permissions of the licence as columns. Before deploy."""

from django.db import migrations, models


def text(length):
    return models.CharField(blank=True, db_default="", default="", max_length=length)


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0027_indexes_of_owners_and_kinds"),
    ]

    operations = [
        migrations.AddField(model_name="version", name="parts", field=text(32)),
        migrations.AddField(model_name="version", name="trainer", field=text(64)),
        migrations.AddField(model_name="adapter", name="parts", field=text(32)),
        migrations.AddField(model_name="adapter", name="trainer", field=text(64)),
        migrations.AddField(model_name="adapter", name="permissions", field=text(64)),
    ]
