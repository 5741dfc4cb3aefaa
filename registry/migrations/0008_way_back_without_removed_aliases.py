"""On the way back removed aliases go with their history. Before or after deploy: forward nothing.

Apart from the schema, because PostgreSQL changes no table in the transaction that took rows out of it.
"""

from django.db import migrations


def forget_removed_aliases(apps, _schema_editor):
    apps.get_model('registry', 'Alias').objects.filter(revision=None).delete()
    apps.get_model('registry', 'AliasMove').objects.filter(revision=None).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0007_withdrawals_and_alias_history'),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, forget_removed_aliases),
    ]
