"""Every write service records an event: each is called here, and a new one is missed.

The rule: a public function of ``registry`` or ``previews`` with a keyword-only ``actor`` writes. It
is in ``CALLS``, or in ``WITHOUT`` with a reason.
"""

from __future__ import annotations

import ast
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.utils import timezone

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry import log_context
from registry.accounts import (
    users,
)
from registry.events import VERBS
from registry.models import Adapter, Event, User, Worker
from tests.registry.audited_calls import BASE, CALLS, NOBODY, REQUEST, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]

#: Write services, with the reason why they need no event of their own.
WITHOUT = {
    "registry.events.record": "writes the event",
    "registry.adapters.manifests.commit": "a step of commits and publications",
    "registry.adapters.manifests.move": "a step of commits and publications",
    "registry.accounts.second_factor.pending": "no factor before it is confirmed",
    "registry.tokens.device_logins.find": "only counts the attempt",
    "registry.uploads.by_digest.receive_body": "bytes of an upload, which has events",
    "registry.uploads.by_digest.finish_parts": "compares the parts of an upload",
    "registry.uploads.parts.receive_part": "bytes of an upload, which has events",
    "registry.uploads.parts.record_sent": "parts that the store has",
    "registry.uploads.parts.links": "links for parts of an upload",
    "registry.cards.services.update_readme_on_commit": "follows an edit; a revision_committed",
}


def write_services() -> Iterator[str]:
    for folder in ("registry", "previews"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                    continue
                if "actor" in {argument.arg for argument in node.args.kwonlyargs}:
                    yield f"{module}.{node.name}"


def test_every_write_service_is_called_below_or_has_a_reason() -> None:
    found = set(write_services())
    assert len(found) > 60
    assert found - CALLS.keys() - WITHOUT.keys() == set(), "add it to CALLS, with its verb"
    assert (CALLS.keys() | WITHOUT.keys()) - found == set(), "it is gone"


#: Verbs of writes without an actor, and where they are tested.
ELSEWHERE = {
    "tests/pages/test_audit.py": ["signed_in", "sign_in_failed", "signed_out", "user_created"],
    "tests/hub/test_user_command.py": ["staff_removed"],
    "tests/registry/test_device_logins.py": [
        "token_first_used", "device_login_requested", "device_login_allowed",
    ],
    "tests/registry/test_checking.py": ["upload_accepted", "upload_refused"],
    "tests/registry/test_lineages.py": ["checkpoints_imported", "checkpoints_removed"],
    "tests/registry/test_reinspecting.py": ["files_reinspected"],
    "tests/registry/test_rehashing.py": ["files_rehashed"],
    "tests/registry/test_audit.py": ["audit_pruned", "audit_days_set"],
    "tests/previews/test_rerender.py": ["rerendered"],
    "tests/previews/test_tryout_limits.py": ["tryout_unshared"],
    "tests/hub/test_storage_command.py": ["files_mended", "store_moved"],
    "tests/hub/test_sweep_command.py": ["swept"],
    "tests/hub/test_backups.py": ["backup_made", "backup_restored"],
    "tests/hub/test_failed_backups.py": ["backup_failed"],
}  # fmt: skip


def test_every_verb_is_tested_and_documented() -> None:
    known = set(chain.from_iterable(VERBS.values()))
    tested = set(chain.from_iterable(verbs.split() for _call, verbs in CALLS.values()))
    tested |= set(chain.from_iterable(ELSEWHERE.values()))
    assert known == tested
    for file, verbs in ELSEWHERE.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert [verb for verb in verbs if f'"{verb}"' not in text] == [], file
    documented = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").partition("## Verbs")[2]
    assert set(re.findall(r"`([a-z_]+)`", documented.partition("\n\n**")[0])) == known


def test_every_write_service_records_its_event(
    ada: User, noir: Adapter, own_settings: Callable[..., None], subtests: Any
) -> None:
    own_settings(tryouts_open=100)
    Worker.objects.create(
        name="box:7", queues=["render.sd1"], facts={"bases": [BASE]}, seen_at=timezone.now()
    )
    users.set_staff(actor=None, user=ada, is_staff=True)
    world = World(ada, noir)
    for name, (call, verbs) in CALLS.items():
        with subtests.test(name):
            last = Event.objects.latest("pk").pk
            with transaction.atomic(), log_context.within(REQUEST):
                call(world)
            for verb in verbs.split():
                found = Event.objects.filter(pk__gt=last, verb=verb).last()
                assert found is not None, f"no {verb}"
                assert found.actor == (None if name in NOBODY else ada)
                about = found.adapter or found.pack or found.user or found.subject or found.facts
                assert about, "no object"
                assert (found.source, found.origin.address) == ("request", "192.0.2.7")
