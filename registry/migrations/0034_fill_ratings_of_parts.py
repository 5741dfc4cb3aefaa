"""Copies the content ratings of adapters to the parts of packs. Before deploy."""

from typing import Any

from django.db import migrations
from django.db.models import OuterRef, Subquery


def fill(apps: Any, _editor: Any) -> None:
    part, version = (apps.get_model("registry", name) for name in ("PackPart", "Version"))
    rated = version.objects.filter(pk=OuterRef("adapter_version")).values("adapter__maturity")
    part.objects.update(maturity=Subquery(rated))


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0033_ratings_of_parts"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
