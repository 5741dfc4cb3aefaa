"""Versions keep what their configuration tells of their weights. Before deploy: adds a table."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='VersionAnatomy',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('document', models.JSONField()),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='anatomy', to='registry.version')),
            ],
        ),
    ]
