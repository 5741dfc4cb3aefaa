"""``manage.py sweep``: what it says of bytes that wait for the end of their grace period."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from registry.adapters import services as adapters
from registry.models import Blob, Event
from registry.versions import withdraw
from tests.catalogue import release
from tests.registry.files import LORA

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("sweep", *words, stdout=out)
    return out.getvalue()


def test_bytes_of_a_withdrawn_version_are_told_with_the_day_they_go(ada: User) -> None:
    version = release(adapters.create(actor=ada, name="noir"), LORA)
    for words in ((), ("--dry-run",)):
        assert "grace period" not in run(*words)
        told = json.loads(run("--json", *words))
        assert told["waiting"] == {"files": 0, "bytes": 0, "next_at": None}

    withdraw.withdraw(actor=ada, version=version, reason="Rights.")
    size = version.files.get(is_primary=True).size_bytes
    goes = timezone.now() + timedelta(days=settings.LORARY.grace_days)
    for words in (("--dry-run",), (), ("--dry-run",)):
        swept, waits = run(*words).splitlines()
        assert "0 unreferenced blobs" in swept
        assert waits.startswith("1 unreferenced file (")
        day, clock, zone = waits.partition("; the next can be deleted after ")[2].split()
        assert zone == "UTC"
        found = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
        assert abs(found - goes) < timedelta(minutes=2)
        told = json.loads(run("--json", *words))
        assert (told["blobs"], told["waiting"]["files"], told["waiting"]["bytes"]) == (0, 1, size)
        assert abs(datetime.fromisoformat(told["waiting"]["next_at"]) - goes) < timedelta(minutes=2)
    assert not Event.objects.filter(verb="swept").exists()  # nothing was deleted
    Blob.objects.update(unreferenced_since=timezone.now() - timedelta(days=30))
    run()
    assert Event.objects.get(verb="swept").facts["blobs"] == 1
