"""Try-outs of packs, also by visitors without an account. Before deploy: adds columns."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("previews", "0014_way_back_without_packs"),
        ("registry", "0032_packs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="tryout",
            name="subject",
            field=models.TextField(blank=True, db_default="", default=""),
        ),
        migrations.AddField(
            model_name="tryout",
            name="pack_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tryouts",
                to="registry.packversion",
            ),
        ),
        migrations.AddField(
            model_name="tryout",
            name="variant",
            field=models.CharField(blank=True, db_default="", default="", max_length=48),
        ),
        migrations.AlterField(
            model_name="tryout",
            name="user",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tryouts",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="tryout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("user__isnull", False), ("pack_version__isnull", False), _connector="OR"
                ),
                name="tryout_without_user_is_of_a_pack",
            ),
        ),
    ]
