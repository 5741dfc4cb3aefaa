"""On the way back try-outs go: they are renders without a version. Before or after deploy: forward nothing.

Apart from the schema, because PostgreSQL changes no table in the transaction that took rows out of it.
"""

from django.db import migrations


def forget_tryouts(apps, _schema_editor):
    apps.get_model('previews', 'Render').objects.filter(kind='tryout').delete()


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0004_defaults_for_the_release_before'),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_tryouts),
    ]
