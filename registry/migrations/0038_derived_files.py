"""Files that the hub makes of weights files on demand. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0037_sketches'),
    ]

    operations = [
        migrations.CreateModel(
            name='DerivedFile',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('config_sha256', models.CharField(blank=True, max_length=64)),
                ('family', models.CharField(blank=True, max_length=48)),
                ('naming', models.CharField(blank=True, max_length=16)),
                ('max_rank', models.PositiveSmallIntegerField(default=0)),
                ('is_stripped', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('ready', 'Ready'), ('refused', 'Refused'), ('failed', 'Failed')], db_index=True, default='queued', max_length=8)),
                ('certificate', models.JSONField(blank=True, default=dict)),
                ('config', models.TextField(blank=True)),
                ('refusal', models.CharField(blank=True, max_length=48)),
                ('reason', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('used_at', models.DateTimeField(db_index=True)),
                ('adapter', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='derived_files', to='registry.adapter')),
                ('blob', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='made_as', to='registry.blob')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='derived_files', to='registry.blob')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('adapter', 'source', 'naming', 'max_rank', 'is_stripped', 'config_sha256', 'family'), name='derived_file_once'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), ('blob__isnull', False), _connector='OR'), name='derived_file_ready_has_bytes')],
            },
        ),
    ]
