"""Copies the method of each latest version to its adapter. Before deploy."""

from typing import Any

from django.db import migrations
from django.db.models import OuterRef, Subquery


def fill(apps: Any, _editor: Any) -> None:
    adapter, version = (apps.get_model("registry", name) for name in ("Adapter", "Version"))
    latest = version.objects.filter(pk=OuterRef("latest_version")).values("algorithm")
    adapter.objects.filter(latest_version__isnull=False).update(algorithm=Subquery(latest))


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0022_facets"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
