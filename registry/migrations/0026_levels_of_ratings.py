"""A fourth content rating, and the level up to which a person sees pictures. Before deploy.

Who saw mature pictures still does. The column of that choice stays in the database for processes of
the release before; the models no longer have it. On the way back, explicit adapters become mature.
"""

from django.db import migrations, models

LEVELS = [
    ("general", "General"),
    ("suggestive", "Suggestive"),
    ("mature", "Mature"),
    ("explicit", "Explicit"),
]


def copy_choices(apps, _schema_editor):
    apps.get_model("registry", "User").objects.filter(shows_mature=True).update(
        shows_up_to="mature"
    )


def copy_choices_back(apps, _schema_editor):
    users = apps.get_model("registry", "User").objects
    users.filter(shows_up_to__in=["mature", "explicit"]).update(shows_mature=True)
    users.exclude(shows_up_to__in=["mature", "explicit"]).update(shows_mature=False)
    apps.get_model("registry", "Adapter").objects.filter(maturity="explicit").update(
        maturity="mature"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0025_optional_trigger_words"),
    ]

    operations = [
        migrations.AlterField(
            model_name="adapter",
            name="maturity",
            field=models.CharField(choices=LEVELS, default="general", max_length=16),
        ),
        migrations.AddField(
            model_name="user",
            name="shows_up_to",
            field=models.CharField(
                choices=LEVELS,
                db_default="suggestive",
                default="suggestive",
                max_length=16,
                verbose_name="highest content rating of pictures shown",
            ),
        ),
        migrations.RunPython(copy_choices, copy_choices_back),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="user", name="shows_mature")],
        ),
    ]
