"""The right adapter is among the first three results of a judged set of queries."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.accounts import users
from registry.adapters.selectors import Query, search
from registry.models import Adapter, Revision, SearchDocument, Version
from registry.search import documents, spelling
from registry.search.documents import Described
from tests.search.judged import KNOWN, demo, noise
from tests.search.judgements import JUDGED, LEAST, LEAST_ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Namespace
    from tests.search.judged import Listed

FIRST = 3


def fill(listed: Iterable[Listed]) -> None:
    """Store adapters with a version each, many at a time."""
    rows, now = list(listed), timezone.now()
    owners: dict[str, Namespace] = {}
    for name in {row.owner for row in rows}:
        plain = name.encode("ascii", "ignore").decode()
        owners[name] = users.create_user(name=f"{plain}-1" if plain != name else name).namespace
    made = Adapter.objects.bulk_create(
        Adapter(
            namespace=owners[row.owner], name=row.name, key=row.name.casefold(), title=row.title,
            kind=row.kind, summary=row.summary, card=row.card, family=row.family,
            lineage=row.lineage, downloads=row.downloads, published_at=now,
        )
        for row in rows
    )  # fmt: skip
    revisions = Revision.objects.bulk_create(
        Revision(adapter=one, commit=f"{one.pk:040x}", manifest_sha256="0" * 64, message="x",
                 author=one.namespace.user, created_at=now)
        for one in made
    )  # fmt: skip
    versions = Version.objects.bulk_create(
        Version(adapter=revision.adapter, number=1, revision=revision, state="published",
                author=revision.author, published_at=now, rank=row.rank,
                size_bytes=row.size_bytes, trigger_words=list(row.trigger_words))
        for revision, row in zip(revisions, rows, strict=True)
    )  # fmt: skip
    for adapter, version in zip(made, versions, strict=True):
        adapter.latest_version = version
    Adapter.objects.bulk_update(made, ["latest_version"], batch_size=500)
    described = [Described(**row.described) for row in rows]
    SearchDocument.objects.bulk_create(
        SearchDocument(adapter=adapter, **documents.compose(given))
        for adapter, given in zip(made, described, strict=True)
    )
    spelling.learn(documents.spelled_words(described))


@pytest.mark.slow
@pytest.mark.django_db
def test_the_right_adapter_is_among_the_first() -> None:
    fill(chain(noise(), KNOWN, demo()))
    right, wrong = defaultdict[str, int](int), defaultdict[str, list[str]](list)
    for group, q, name in JUDGED:
        found = [one.name for one in search(None, Query(q=q), limit=FIRST).results]
        if name in found:
            right[group] += 1
        else:
            wrong[group].append(f"{q} → {found}, not {name}")
    shares = {
        group: right[group] / (right[group] + len(wrong[group])) for group in {*right, *wrong}
    }
    low = {
        group: wrong[group]
        for group, share in shares.items()
        if share < LEAST.get(group, LEAST_ELSEWHERE)
    }
    assert not low, (shares, low)
