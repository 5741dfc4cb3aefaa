"""Comparisons of the weights of two versions. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0040_energy'),
    ]

    operations = [
        migrations.CreateModel(
            name='VersionComparison',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('ready', 'Ready'), ('refused', 'Refused'), ('failed', 'Failed')], default='queued', max_length=8)),
                ('result', models.JSONField(blank=True, default=dict)),
                ('refusal', models.CharField(blank=True, max_length=48)),
                ('reason', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('used_at', models.DateTimeField(db_index=True)),
                ('first', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='registry.version')),
                ('second', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='registry.version')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('first', 'second'), name='version_comparison_once'), models.CheckConstraint(condition=models.Q(('first__lt', models.F('second'))), name='version_comparison_is_ordered')],
            },
        ),
    ]
