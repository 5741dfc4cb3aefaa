"""Indexes that find a user's open uploads, and those with bytes. Before deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0009_arrivals_and_tags'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(fields=['owner', 'state'], name='upload_by_owner_and_state'),
        ),
        migrations.AddIndex(
            model_name='upload',
            index=models.Index(condition=models.Q(('blob__isnull', False)), fields=['owner', 'blob'], name='upload_with_bytes_by_owner'),
        ),
    ]
