"""Adapters with a published version, without files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

import registry.tasks  # noqa: F401 - registers the handlers
from registry.adapters import services as adapters
from registry.models import Adapter, Revision, Version
from registry.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User


@pytest.fixture
def published(ada: User) -> Callable[..., Adapter]:
    """Return a function that makes a published adapter."""

    def published(
        name: str, title: str = "", *, owner: User | None = None, **fields: Any
    ) -> Adapter:
        columns = {"trigger_words", "family", "lineage", "rank", "size_bytes"} & fields.keys()
        facts = {column: fields.pop(column) for column in columns}
        actor = owner or ada
        adapter = adapters.create(actor=actor, name=name, title=title, **fields)
        version = Version.objects.create(
            adapter=adapter,
            number=1,
            revision=Revision.objects.get(adapter=adapter),
            author=actor,
            state="published",
            published_at=timezone.now(),
            **facts,
        )
        latest.update_lists(adapter, version)
        return adapter

    return published
