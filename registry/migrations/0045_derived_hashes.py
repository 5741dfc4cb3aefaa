"""Hashes of files that the hub made of others. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0044_leases_and_xet'),
    ]

    operations = [
        migrations.CreateModel(
            name='DerivedHash',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('naming', models.CharField(blank=True, max_length=16)),
                ('max_rank', models.PositiveSmallIntegerField(default=0)),
                ('is_stripped', models.BooleanField(default=False)),
                ('kind', models.CharField(choices=[('sha256', 'SHA-256'), ('autov1', 'AutoV1'), ('autov2', 'AutoV2'), ('autov3', 'AutoV3'), ('data_sha256', 'SHA-256 after the header'), ('tensors', 'Tensors in any order'), ('weights_f16', 'Weights as fp16'), ('weights_bf16', 'Weights as bf16'), ('crc32', 'CRC-32'), ('blake3', 'BLAKE3')], max_length=16)),
                ('value', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('adapter', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='derived_hashes', to='registry.adapter')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='derived_hashes', to='registry.blob')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('value', 'kind', 'adapter', 'source'), name='derived_hash_once'), models.CheckConstraint(condition=models.Q(('value__regex', '^[0-9a-f]{8,64}$')), name='derived_hash_is_hex')],
            },
        ),
    ]
