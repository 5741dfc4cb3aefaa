"""Why accounts were disabled, and when they were deleted. Before deploy.

The column with a default is added by SQL: on SQLite, Django would build the table again without
``shows_mature``, a column that only processes of an earlier release write.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0041_comparisons'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='deleted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(
            "ALTER TABLE registry_user ADD COLUMN disabled_reason varchar(280) DEFAULT '' NOT NULL",
            "ALTER TABLE registry_user DROP COLUMN disabled_reason",
            state_operations=[
                migrations.AddField(
                    model_name='user',
                    name='disabled_reason',
                    field=models.CharField(blank=True, db_default='', default='', max_length=280),
                ),
            ],
        ),
    ]
