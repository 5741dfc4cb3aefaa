"""Hashes are rows, so that each finds its file. Before deploy: adds a table and a column."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0004_defaults_for_the_release_before'),
    ]

    operations = [
        migrations.AddField(
            model_name='blob',
            name='claimed_hashes',
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.CreateModel(
            name='BlobHash',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('sha256', 'SHA-256'), ('autov1', 'AutoV1'), ('autov2', 'AutoV2'), ('autov3', 'AutoV3'), ('data_sha256', 'SHA-256 after the header'), ('tensors', 'Tensors in any order'), ('crc32', 'CRC-32'), ('blake3', 'BLAKE3')], max_length=16)),
                ('value', models.CharField(max_length=64)),
                ('blob', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hash_rows', to='registry.blob')),
            ],
            options={
                'indexes': [models.Index(fields=['value', 'kind'], name='blob_hash_by_value')],
                'constraints': [
                    models.UniqueConstraint(fields=('kind', 'blob'), name='blob_hash_once'),
                    models.CheckConstraint(
                        condition=models.Q(('value__regex', '^[0-9a-f]{8,64}$')), name='blob_hash_is_hex'
                    ),
                ],
            },
        ),
    ]
