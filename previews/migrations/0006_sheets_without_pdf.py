"""Contact sheets are PNGs alone; the sweeper deletes the stored PDFs. Before or after deploy.

Migrated before it, the old release answers 404 for a PDF. What its workers still draw is ignored.
On the way back all sheets go: the release before links to both forms, and draws both again.
"""

from django.db import migrations, models


def forget_pdfs(apps, _schema_editor):
    apps.get_model('previews', 'Sheet').objects.filter(kind='pdf').delete()


def forget_sheets(apps, _schema_editor):
    apps.get_model('previews', 'Sheet').objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0005_way_back_without_tryouts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='sheet',
            name='kind',
            field=models.CharField(choices=[('png', 'Contact sheet, PNG')], max_length=8),
        ),
        migrations.RunPython(forget_pdfs, forget_sheets),
    ]
