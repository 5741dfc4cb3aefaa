"""Rows for the hashes that are known already. Before deploy.

Those that only a whole file tells (CRC-32, BLAKE3, AutoV1, tensors) come with ``manage.py reinspect
--hashes``. Backwards, the rows go with their table.
"""

from django.db import migrations

STEP = 500


def fill(apps, schema_editor):
    blobs = apps.get_model('registry', 'Blob').objects.filter(anatomy__isnull=False)
    rows = apps.get_model('registry', 'BlobHash')
    made = []
    for pk, sha256, hashes in blobs.order_by('pk').values_list('pk', 'sha256', 'hashes').iterator(STEP):
        known = {**hashes, 'sha256': sha256, 'autov2': sha256[:10]}
        made += [rows(blob_id=pk, kind=kind, value=value) for kind, value in known.items()]
        if len(made) >= STEP:
            rows.objects.bulk_create(made, ignore_conflicts=True)
            made = []
    rows.objects.bulk_create(made, ignore_conflicts=True)


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0005_blob_hashes'),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
