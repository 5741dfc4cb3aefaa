"""Documents of the adapters that are there. Before deploy; run ``manage.py search rebuild`` after
it if processes of the release before have written meanwhile. Backwards, they go with their table.
"""

from django.db import migrations

from registry.search import documents, spelling
from registry.search.documents import Described

STEP = 500


def fill(apps, schema_editor):
    rows = apps.get_model("registry", "SearchDocument")
    keys = apps.get_model("registry", "SpellingKey")
    adapters = apps.get_model("registry", "Adapter").objects.select_related(
        "namespace", "latest_version"
    )
    files = apps.get_model("registry", "File").objects
    names = {field.name for field in rows._meta.get_fields()}
    words = set()
    for start in _starts(adapters):
        made, batch = [], []
        described = adapters.filter(pk__gte=start).order_by("pk").prefetch_related("tags")[:STEP]
        held = documents.files_of([one.pk for one in described], files.all())
        for one in described:
            if one.latest_version is not None:
                one.latest_version.optional_trigger_words = []  # the column comes with 0025
            batch.append(Described.of(one, held.get(one.pk, ())))
            columns = documents.compose(batch[-1])
            kept = {name: value for name, value in columns.items() if name in names}
            made.append(rows(adapter=one, **kept))
        rows.objects.bulk_create(made, ignore_conflicts=True)
        words |= documents.spelled_words(batch)
    spelt = sorted(filter(spelling.is_spelt, words))
    for start in range(0, len(spelt), STEP):
        keys.objects.bulk_create(
            [
                keys(key=key, word=word)
                for word in spelt[start : start + STEP]
                for key in sorted(spelling.all_keys(word))
            ],
            ignore_conflicts=True,
            batch_size=STEP,
        )


def _starts(adapters):
    """Yield the first id of each batch."""
    pks = adapters.order_by("pk").values_list("pk", flat=True)
    start = pks.first()
    while start is not None:
        yield start
        start = next(iter(pks.filter(pk__gte=start)[STEP : STEP + 1]), None)


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0019_search_documents"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
