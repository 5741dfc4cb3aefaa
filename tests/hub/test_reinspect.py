"""``manage.py reinspect`` and what the doctor says before it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command

from hub.management.progress import DAMAGED, MEND
from hub.operations import doctor
from registry import storage
from registry.adapters import services as adapters
from registry.models import Blob, BlobAnatomy
from tests import catalogue
from tests.registry.files import LORA

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _old(ada: User) -> None:
    """A published file whose header was read by an older version."""
    catalogue.release(adapters.create(actor=ada, name="noir"), LORA)
    BlobAnatomy.objects.update(document={"kind": "adapter"})


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("reinspect", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_it_says_what_it_changed_and_then_that_nothing_is_left() -> None:
    assert run("--dry-run").startswith("1 header read; 1 file would change, 0 versions")
    assert run().startswith("1 header read; 1 file changed")
    assert run().startswith("0 headers read; 0 files changed")


def test_the_report_for_programs_is_one_line() -> None:
    told = json.loads(run("--all", "--json"))
    assert told == {"read": 1, "changed": 1, "versions": 0, "refused": [], "missing": []}


def test_whole_files_are_read_for_their_hashes_when_asked() -> None:
    Blob.objects.get().hash_rows.all().delete()
    assert run("--hashes").startswith("1 file read; hashes of 1 changed")
    assert run("--hashes").startswith("0 files read; hashes of 0 changed")
    told = json.loads(run("--hashes", "--all", "--json"))
    assert told == {"read": 1, "changed": 0, "damaged": [], "missing": []}


def test_lost_bytes_are_named() -> None:
    digest = Blob.objects.get().sha256
    storage.store().delete(digest)
    for arguments in ([], ["--hashes", "--all"]):
        said = run(*arguments)
        assert f"1 file missing; {MEND}:\n  {digest}\n" in said


def test_damaged_bytes_are_named_with_where_others_come_from() -> None:
    digest = Blob.objects.get().sha256
    place = storage.store().link(digest, storage.Fetch())
    assert isinstance(place, Path)
    place.write_bytes(b"?")
    said = run("--hashes", "--all")
    assert f"1 file {DAMAGED}:\n  {digest}\n" in said
    assert "manage.py storage mend --from URL" in said


def test_the_doctor_sees_older_documents_until_they_are_renewed() -> None:
    (report,) = doctor.PROBES["anatomies"]()
    assert (report.state, report.hint) == ("warning", "Run `manage.py reinspect`.")
    run()
    (report,) = doctor.PROBES["anatomies"]()
    assert report.state == "ok"


def test_the_doctor_sees_files_that_lack_hashes() -> None:
    Blob.objects.get().hash_rows.filter(kind="weights_f16").delete()
    (report,) = doctor.PROBES["hashes"]()
    assert (report.state, report.hint) == ("warning", "Run `manage.py reinspect --hashes`.")
    run("--hashes")
    (report,) = doctor.PROBES["hashes"]()
    assert report.state == "ok"
