"""Copies the SHA-256 and AutoV2 of derived files that are there. Before deploy.

Their other hashes need their bytes, and are stored when the files are made again.
"""

from itertools import islice
from typing import Any

from django.db import migrations
from django.db.models import F

_BATCH = 500


def fill(apps: Any, _editor: Any) -> None:
    file, hashed = (apps.get_model("registry", name) for name in ("DerivedFile", "DerivedHash"))
    rows = file.objects.filter(state="ready").exclude(blob=F("source")).select_related("blob")
    hashes = (
        hashed(
            adapter_id=row.adapter_id,
            source_id=row.source_id,
            naming=row.naming,
            max_rank=row.max_rank,
            is_stripped=row.is_stripped,
            kind=kind,
            value=value,
        )
        for row in rows.order_by("pk").iterator(_BATCH)
        for kind, value in (("sha256", row.blob.sha256), ("autov2", row.blob.sha256[:10]))
    )
    while batch := list(islice(hashes, _BATCH)):  # bulk_create makes a list of all that it is given
        hashed.objects.bulk_create(batch, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0045_derived_hashes"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
