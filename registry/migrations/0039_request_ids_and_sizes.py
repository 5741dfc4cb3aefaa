"""Ids of requests with jobs, and indexes for counts and sizes of uploads and blobs. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0038_derived_files'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='request_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='job',
            name='trace_parent',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddIndex(
            model_name='blob',
            index=models.Index(fields=['is_stored', 'unreferenced_since', 'size_bytes'], name='blob_sizes'),
        ),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(fields=['state', 'size_bytes'], name='upload_sizes_by_state'),
        ),
    ]
