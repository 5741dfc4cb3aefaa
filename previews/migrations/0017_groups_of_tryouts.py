"""Groups of try-outs. Before deploy: adds columns."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("previews", "0016_way_back_without_visitors"),
    ]

    operations = [
        migrations.AddField(
            model_name="tryout",
            name="first",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="others",
                to="previews.tryout",
            ),
        ),
        migrations.AddField(
            model_name="tryout",
            name="mix",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
    ]
