"""Fills the new columns of facets from anatomies and licences. Before deploy."""

from collections import defaultdict

from django.db import migrations
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from registry.adapters.licences import permissions_of
from registry.blobs.anatomies import parts_of, trainer_of

STEP = 1000


def fill(apps, _schema_editor):
    adapters, versions, files = (
        apps.get_model("registry", name).objects for name in ("Adapter", "Version", "File")
    )
    for pks in _batches(versions):
        chosen = versions.filter(pk__range=pks)
        primary = files.filter(is_primary=True, revision__versions__pk__range=pks)
        found = dict(_facts(primary, "revision__versions", "blob__anatomy__document"))
        # An anatomy of the weights with their configuration comes before that of the weights.
        found |= _facts(chosen.filter(anatomy__isnull=False), "pk", "anatomy__document")
        by_facts = defaultdict(list)
        for pk, facts in found.items():
            by_facts[facts].append(pk)
        for (parts, trainer), same in by_facts.items():
            versions.filter(pk__in=same).update(parts=parts, trainer=trainer)
    latest = versions.filter(pk=OuterRef("latest_version"))
    yanked = versions.filter(adapter=OuterRef("pk"), state="yanked").order_by("-number")
    for pks in _batches(adapters):
        chosen = adapters.filter(pk__range=pks)
        chosen.filter(latest_version__isnull=False).update(**_copied(latest, "parts", "trainer"))
        chosen.filter(latest_version__isnull=True).filter(Exists(yanked)).update(
            **_copied(yanked, "family", "lineage", "algorithm", "parts", "trainer")
        )
        licences = adapters.filter(pk__range=pks).order_by().values_list("licence", flat=True)
        for licence in licences.distinct():
            if permissions := permissions_of(licence):
                adapters.filter(pk__range=pks, licence=licence).update(permissions=permissions)


def _copied(versions, *columns):
    return {name: Subquery(versions.values(name)[:1]) for name in columns}


def _batches(rows):
    """Yield ranges of ids."""
    last = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
    yield from ((start, start + STEP - 1) for start in range(1, last + 1, STEP))


def _facts(rows, version, document):
    """Yield the ids of versions with their trained parts and trainer."""
    trainer = KeyTextTransform("trainer", KeyTransform("training", document))
    for pk, parts, name in rows.values_list(version, KeyTransform("parts", document), trainer):
        read = {"parts": parts, "training": {"trainer": name}}
        yield pk, (parts_of(read), trainer_of(read))


class Migration(migrations.Migration):
    atomic = False  # each batch is committed by itself; filling twice does no harm

    dependencies = [
        ("registry", "0029_indexes_of_facets"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
