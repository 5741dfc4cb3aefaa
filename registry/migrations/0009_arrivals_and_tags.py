"""Marks of who is at the bytes of a digest, and names of parts in the store. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0008_way_back_without_removed_aliases'),
    ]

    operations = [
        migrations.AddField(
            model_name='blob',
            name='arriving_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='blob',
            name='leaving_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='uploadpart',
            name='tag',
            field=models.CharField(blank=True, db_default='', default='', max_length=128),
        ),
        migrations.AlterField(
            model_name='uploadpart',
            name='sha256',
            field=models.CharField(blank=True, max_length=64),
        ),
    ]
