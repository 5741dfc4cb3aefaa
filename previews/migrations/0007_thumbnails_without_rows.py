"""Thumbnails are made on request and have no rows. Stop the old release first.

The sweeper deletes the files of the rows. The release before makes thumbnails of new pictures only.
"""

from django.db import migrations


def forget_jobs(apps, _schema_editor):
    jobs = apps.get_model('registry', 'Job').objects
    jobs.filter(task='derive', state__in=['queued', 'running']).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0006_sheets_without_pdf'),
        ('registry', '0024_indexes_of_jobs'),
    ]

    operations = [
        migrations.RunPython(forget_jobs, migrations.RunPython.noop, elidable=True),
        migrations.DeleteModel(
            name='Derivative',
        ),
    ]
