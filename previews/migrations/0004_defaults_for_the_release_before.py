"""Renders and pictures that a process of before writes get what it cannot name. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('previews', '0003_sheets_without_cards'),
    ]

    operations = [
        migrations.AlterField(
            model_name='image',
            name='placeholder',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AlterField(
            model_name='render',
            name='advice',
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.AlterField(
            model_name='render',
            name='kind',
            field=models.CharField(choices=[('preview', 'Preview'), ('tryout', 'Try-out')], db_default='preview', default='preview', max_length=16),
        ),
    ]
