"""Leases of processes, and pieces of uploads by Xet. Before deploy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0043_events_as_audit_log'),
    ]

    operations = [
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('holder', models.CharField(max_length=120)),
                ('until', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='XetSession',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user_id', models.IntegerField()),
                ('adapter_id', models.IntegerField()),
                ('name', models.CharField(max_length=32)),
                ('written_bytes', models.PositiveBigIntegerField(default=0)),
                ('touched_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('user_id', 'adapter_id', 'name'), name='xet_session_once')],
            },
        ),
        migrations.CreateModel(
            name='XetXorb',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64)),
                ('key', models.CharField(max_length=32, unique=True)),
                ('size_bytes', models.PositiveBigIntegerField()),
                ('offsets', models.BinaryField(null=True)),
                ('session', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='xorbs', to='registry.xetsession')),
            ],
        ),
    ]
