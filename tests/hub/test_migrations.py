"""Databases that have rows, on their way to a release and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

#: What a process of the release before writes, which names none of the new columns.
ROWS_OF_BEFORE = """
from datetime import timedelta
from secrets import token_hex
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from previews.models import Image, Layer, Recipe, Render, Tryout
from registry.models import Adapter, Blob, DailyDownloads, Job, User, Version
from registry.accounts import users
from registry.adapters import services as adapters
from registry.adapters import manifests
from registry.search import maintenance

now = timezone.now()
ada = users.create_user(name=f"ada-{token_hex(4)}")  # a database that is named keeps its rows
noir = adapters.create(actor=ada, name="noir")
version = Version.objects.create(
    adapter=noir, number=1, revision=manifests.main_of(noir), author=ada, state="published",
    published_at=now, family="sd1",
)
recipe = Recipe.objects.create(digest=token_hex(32), document={})
blob = Blob.objects.create(sha256=token_hex(32), size_bytes=1)
DailyDownloads.objects.create(version=version, day=now.date(), count=7)

def insert(table, **row):
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

insert(
    "registry_job", queue="render", task="paint", args="{}", key=ada.username, state="queued",
    priority=0, attempt=0, max_attempts=5, worker="", done=0, total=0, reason="",
    is_cancel_asked=False, created_at=now,
)
insert(
    "previews_render", version_id=version.pk, recipe_id=recipe.pk, state="ready", reason="",
    trigger_words="[]", created_at=now,
)
render = Render.objects.get(version=version)
insert(
    "previews_image", render_id=render.pk, blob_id=blob.pk, position=0, prompt_index=0, prompt="x",
    seed=0, strength=0.0, width=8, height=8, created_at=now,
)
job, image = Job.objects.get(key=ada.username), Image.objects.get(render=render)
assert (job.owner, job.turn, render.kind, render.advice, image.placeholder, image.maturity) == (
    "", 0, "preview", {}, "", "",
), (job.owner, job.turn, render.kind, render.advice, image.placeholder, image.maturity)

insert(
    "registry_user", username=f"{ada.username}-old", password="", email="", shows_mature=True,
    is_superuser=False, is_staff=False, is_active=True, date_joined=now,
)
old = User.objects.get(username=f"{ada.username}-old")
assert old.shows_up_to == "suggestive"
User.objects.filter(pk=ada.pk).update(shows_up_to="explicit")
Adapter.objects.filter(pk=noir.pk).update(maturity="explicit")
call_command("migrate", "registry", "0024", verbosity=0)
call_command("migrate", verbosity=0)
assert User.objects.get(pk=ada.pk).shows_up_to == "mature"  # there was no higher level
assert User.objects.get(pk=old.pk).shows_up_to == "suggestive"
assert Adapter.objects.get(pk=noir.pk).maturity == "mature"

stack = Render.objects.create(kind="tryout", recipe=recipe, state="queued", job=job)
Layer.objects.create(render=stack, position=0, version=version)
Tryout.objects.create(user=ada, render=stack, expires_at=now + timedelta(days=1))
Image.objects.create(
    render=stack, blob=blob, position=0, prompt_index=0, prompt="x", seed=0, strength=0.0,
    width=8, height=8,
)
call_command("migrate", "registry", "0002", verbosity=0)
call_command("migrate", verbosity=0)
assert list(Render.objects.filter(recipe=recipe)) == [render]
assert list(Image.objects.filter(blob=blob)) == [image]
assert Job.objects.filter(pk=job.pk, owner="", turn=0).exists()
assert DailyDownloads.objects.get(version=version).count == 7
assert maintenance.check().is_well, maintenance.check()
"""


@pytest.mark.long
@pytest.mark.slow
def test_rows_of_the_release_before_are_taken_and_survive_the_way_back(tmp_path: Path) -> None:
    hub = RunningHub(tmp_path / "hub")
    hub.manage("migrate", "--verbosity", "0")
    hub.manage("shell", "--verbosity", "0", "--command", ROWS_OF_BEFORE)
