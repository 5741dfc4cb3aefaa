"""Checkpoints that operators know by hash or number. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0035_device_logins'),
    ]

    operations = [
        migrations.CreateModel(
            name='KnownCheckpoint',
            fields=[
                ('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('sha256', 'SHA-256'), ('autov2', 'AutoV2'), ('autov1', 'AutoV1'), ('number', 'Number')], max_length=6)),
                ('value', models.CharField(max_length=64)),
                ('lineage', models.CharField(max_length=120)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('source', models.CharField(max_length=300)),
                ('imported_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'value'), name='known_checkpoint_once')],
            },
        ),
    ]
