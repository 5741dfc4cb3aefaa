"""Management commands, in process."""

from __future__ import annotations

import io
import json
import socket
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from hub.operations import doctor
from hub.operations.diagnosis.report import NAMED
from hub.operations.supervisor import Supervisor
from hub.protocols.huggingface.xet import staging
from registry import storage
from registry.accounts import deletion, disabling, users
from registry.adapters import services as adapters
from registry.jobs import queue
from registry.jobs.worker_process import drain
from registry.models import Adapter, Blob, Job, JobState, Namespace, User, Worker
from registry.storage import s3_client
from registry.tokens import services as tokens
from tests.buckets import CREDENTIALS
from tests.builders.xet import xorb
from tests.running import free_port
from tests.stored import blob_of, put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def diagnose() -> tuple[int, dict[str, list[dict[str, Any]]]]:
    out = StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("doctor", "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert document["ok"] == (leaving.value.code == 0)
    found: dict[str, list[dict[str, Any]]] = {}
    for report in document["reports"]:
        found.setdefault(report["probe"], []).append(report)
    return int(leaving.value.code or 0), found


def test_token_prints_the_token_and_nothing_else() -> None:
    users.create_user(name="anna")
    secret = run("token", "--user", "anna")
    assert secret == secret.strip() + "\n"
    token = tokens.authenticate(secret=secret.strip())
    assert token.user.username == "anna"
    assert token.scopes == ["read", "write"]


def test_token_finds_a_user_whatever_the_case() -> None:
    users.create_user(name="Anna")
    run("token", "--user", "anna")
    assert User.objects.count() == 1


def test_token_makes_the_user_only_when_asked() -> None:
    with pytest.raises(CommandError, match="--create"):
        run("token", "--user", "anna")
    run("token", "--user", "anna", "--create", "--scopes", "read")
    run("token", "--user", "anna", "--create")
    assert User.objects.get().access_tokens.count() == 2


@pytest.mark.parametrize("arguments", [["--user", "a..b"], ["--user", "anna", "--scopes", "fly"]])
def test_token_refuses_what_the_services_refuse(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("token", "--create", *arguments)


def test_token_says_when_it_ends_and_what_it_is_for() -> None:
    anna = users.create_user(name="anna")
    run("token", "--user", "anna", "--expires", "7")
    run("token", "--user", "anna", "--expires", "never", "--bound-to", "anna")
    bound, short = anna.access_tokens.all()
    assert short.expires_at is not None
    assert short.expires_at - timezone.now() < timedelta(days=7)
    assert (bound.expires_at, bound.bound_to) == (None, "anna")
    for days in ("0", "-1", "x", "3651", "9" * 5000):
        with pytest.raises(CommandError, match="or never"):
            run("token", "--user", "anna", "--expires", days)


def test_token_of_scope_admin_is_for_staff() -> None:
    anna = users.create_user(name="anna")
    with pytest.raises(CommandError, match=r"manage\.py user staff"):
        run("token", "--user", "anna", "--scopes", "admin")
    users.set_staff(actor=None, user=anna, is_staff=True)
    assert run("token", "--user", "anna", "--scopes", "admin").startswith("lor_")


def test_token_refuses_accounts_that_cannot_use_it() -> None:
    anna = users.create_user(name="anna")
    run("token", "--user", "anna")
    disabling.disable(actor=None, user=anna, reason="left")
    with pytest.raises(CommandError, match=r"is disabled\. `manage\.py user enable`"):
        run("token", "--user", "anna")
    assert run("token", "--user", "anna", "--revoke-all") == "0 revoked.\n"
    deletion.delete(actor=None, user=anna)
    with pytest.raises(CommandError, match="was deleted"):
        run("token", "--user", f"deleted-{anna.pk}")
    assert not anna.access_tokens.exists()


def test_token_revokes_all_of_a_user() -> None:
    anna = users.create_user(name="anna")
    run("token", "--user", "anna")
    run("token", "--user", "anna")
    assert run("token", "--user", "anna", "--revoke-all") == "2 revoked.\n"
    assert not anna.access_tokens.filter(revoked_at=None).exists()


def test_doctor_is_content_with_a_fresh_hub() -> None:
    code, found = diagnose()
    assert code == 0
    broken = [r for reports in found.values() for r in reports if r["state"] == "error"]
    assert not broken
    assert set(found) >= {"settings", "space", "database", "storage", "broker", "jobs", "bytes"}


def test_doctor_lists_owners_and_adapters_whose_names_are_not_given_any_more() -> None:
    assert diagnose()[1]["names"][0]["state"] == "ok"
    anna = users.create_user(name="anna")
    adapter = adapters.create(actor=anna, name="noir")
    Adapter.objects.filter(pk=adapter.pk).update(name="Aux.v2", key="aux.v2")
    adapters.create(actor=anna, name="console")
    Namespace.objects.filter(user=anna).update(name="Support", key="support")
    [report] = diagnose()[1]["names"]
    assert report["state"] == "warning"
    assert report["message"].endswith(": Support, Support/Aux.v2.")
    assert "keep working" in report["hint"]


def test_doctor_prints_a_line_for_people() -> None:
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", stdout=out)
    assert "ok      database" in out.getvalue()


def test_doctor_names_a_file_that_is_missing_and_one_that_is_short() -> None:
    written = put_bytes([b"12345"])
    Blob.objects.create(sha256=written.sha256, size_bytes=6)
    Blob.objects.create(sha256="f" * 64, size_bytes=1)
    code, found = diagnose()
    assert code == 1
    assert {report["state"] for report in found["bytes"]} == {"error"}
    text = " ".join(report["message"] for report in found["bytes"])
    assert f"{written.sha256}: 5 bytes instead of 6." in text
    assert f"{'f' * 64}: missing." in text


def test_doctor_looks_at_a_sample_of_many_files_and_deep_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.operations.diagnosis.files.SAMPLE", 4)
    blobs = [blob_of(b"%d" % number) for number in range(9)]
    reports = {one.probe: one for one in doctor.examine()}
    assert reports["bytes"].message == "4 of 9 files checked; none is missing or incomplete."
    assert "--deep" in reports["bytes"].hint
    assert "--deep" in reports["orphans"].hint
    storage.store().delete(blobs[-1].sha256)
    (report,) = doctor.PROBES["bytes"]()  # the newest are always looked at
    assert report.message == f"{blobs[-1].sha256}: missing."
    storage.store().write(storage.new_key(), [b"orphan"])
    for blob in blobs[:-1]:
        storage.store().delete(blob.sha256)
    *named, last = doctor.PROBES["bytes"](is_deep=True)
    assert len(named) == NAMED
    assert last.message == "9 of 9 files missing or incomplete."
    deep = {one.probe: one for one in doctor.examine(is_deep=True)}
    assert deep["orphans"].state == "ok"  # within the grace period


def test_doctor_and_sweep_count_what_hub_clients_left() -> None:
    assert "0 pieces (0 bytes)" in diagnose()[1]["pieces"][0]["message"]
    session, data = staging.Session(1, 2, "ab" * 16), xorb(bytes(1200), scheme=0)
    staging.keep(session, "cd" * 32, io.BytesIO(data), len(data))
    report = diagnose()[1]["pieces"][0]
    assert report["state"] == "ok"
    assert report["message"].startswith(
        "1 piece (1.2 kB) of uploads from Hugging Face clients, all"
    )
    session.rows.update(touched_at=timezone.now() - timedelta(hours=2))
    report = diagnose()[1]["pieces"][0]
    assert report["state"] == "warning"
    assert "1 (1.2 kB) of them no longer needed" in report["message"]
    told = "0 files, 1 piece left by Hugging Face clients; "
    assert f"{told}would free 1.2 kB" in run("sweep", "--dry-run")
    assert session.rows.exists()
    assert f"{told}freed 1.2 kB" in run("sweep")
    assert not session.rows.exists()


def test_doctor_sees_a_queue_that_nobody_serves_and_a_job_left_behind() -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    waiting = Job.objects.create(queue="render", task="x", key="a")
    Job.objects.filter(pk=waiting.pk).update(created_at=long_ago)
    Job.objects.create(
        queue="render", task="x", key="b", state=JobState.RUNNING, lease_until=long_ago
    )
    code, found = diagnose()
    assert code == 0
    hints = " ".join(report["hint"] for report in found["jobs"])
    assert "Start a worker: `manage.py worker --queues render`." in hints
    assert any("left by a worker that died" in report["message"] for report in found["jobs"])


def test_doctor_does_not_ask_for_a_worker_where_one_is_at_it() -> None:
    waiting = Job.objects.create(queue="render.sdxl", task="x", key="a")
    Job.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(hours=1))
    Worker.objects.create(name="box:1", queues=["render.sdxl"], seen_at=timezone.now())
    (report,) = diagnose()[1]["jobs"]
    assert report["hint"].startswith("box:1 is working on them; start another one:")


def test_doctor_names_a_task_that_no_worker_has_known_for_long() -> None:
    def start(key: str, hours: float) -> None:
        queue.enqueue(queue="checks", task="bygone", args={}, key=key)
        assert drain("checks") == 1
        then = timezone.now() - timedelta(hours=hours)
        Job.objects.filter(key=key).update(started_at=then)

    start("a", 0.9)
    assert [report["state"] for report in diagnose()[1]["jobs"]] == ["ok"]
    start("b", 1.1)
    start("c", 30)
    (report,) = diagnose()[1]["jobs"]
    since = timezone.now() - timedelta(hours=30)
    assert report["message"].startswith("2 jobs of the task 'bygone', which no worker knows, since")
    assert f"{since:%Y-%m-%d}" in report["message"]
    assert "cancel" in report["hint"]


def test_doctor_names_families_whose_renders_nobody_makes() -> None:
    assert "Workers seen recently: none." in diagnose()[1]["workers"][0]["message"]
    for n, name in enumerate(["render.flux1", "render.flux1", "render.miniature", "render.sdxl"]):
        Job.objects.create(queue=name, task="x", key=f"k{n}")
    Worker.objects.create(name="box:1", queues=["render.sdxl"], seen_at=timezone.now())
    here, flux, miniature = diagnose()[1]["workers"]
    assert here["message"] == "Workers seen recently: box:1. None checks uploads."
    assert flux["message"] == "Renders that wait for a worker for FLUX.1 (flux1): 2."
    assert "bases file" in flux["hint"]
    assert miniature["message"] == "Renders that wait for a worker for Miniature (miniature): 1."
    assert "manage.py worker --queues render" in miniature["hint"]


@pytest.mark.parametrize(
    ("waiting", "queues", "wish", "code", "state"),
    [
        (0, [], "work", 0, "warning"),
        (0, ["render.sdxl"], "work", 0, "warning"),
        (1, [], "work", 1, "error"),
        (1, ["render.sdxl"], "work", 1, "error"),
        (1, ["checks"], "drain", 1, "error"),
        (1, ["checks"], "work", 0, "ok"),
    ],
)
def test_doctor_says_that_nothing_checks_the_uploads_that_wait(
    waiting: int, queues: list[str], wish: str, code: int, state: str
) -> None:
    for n in range(waiting):
        Job.objects.create(queue="checks", task="x", key=f"k{n}")
    soon = timezone.now() + timedelta(hours=1)
    Job.objects.create(queue="checks", task="x", key="later", run_after=soon)
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    Job.objects.create(queue="checks", task="x", key="new")
    if queues:
        Worker.objects.create(name="box:1", queues=queues, wish=wish, seen_at=timezone.now())
    left, found = diagnose()
    report = found["workers"][0]
    assert (left, report["state"]) == (code, state)
    assert ("1 job waiting" in report["message"]) == (state == "error")
    assert ("systemctl restart lorary-checks" in report["hint"]) == (state != "ok")


def test_doctor_does_not_ask_for_previews_that_are_turned_off(
    own_settings: Callable[..., None],
) -> None:
    path = settings.LORARY.data / "none.toml"
    path.write_text("", encoding="utf-8")
    own_settings(bases=path)
    Job.objects.create(queue="render.sdxl", task="x", key="a")
    job = Job.objects.create(queue="render.miniature", task="x", key="b")
    Worker.objects.create(name="box:1", queues=["checks"], seen_at=timezone.now())
    found = diagnose()[1]
    assert [report["state"] for report in found["workers"]] == ["ok", "ok"]
    assert "2 renders waiting from before" in found["workers"][1]["message"]
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(hours=1))
    (waiting,) = diagnose()[1]["jobs"]
    assert waiting["hint"].startswith("Previews are turned off: cancel the jobs at /operator")


def test_doctor_sees_a_key_that_is_not_used(own_settings: Callable[..., None]) -> None:
    path = settings.LORARY.data / "secret_key"
    path.write_text("o" * 50, encoding="utf-8")
    try:
        (report,) = diagnose()[1]["settings"]
        assert (report["state"], "contains another key" in report["message"]) == ("warning", True)
        own_settings(secret_key="o" * 50)
        assert diagnose()[1]["settings"][0]["state"] == "ok"
    finally:
        path.unlink()


def test_doctor_sees_a_bases_file_that_is_no_toml(own_settings: Callable[..., None]) -> None:
    path = settings.LORARY.data / "bases.toml"
    path.write_text("= nothing", encoding="utf-8")
    own_settings(bases=path)
    code, found = diagnose()
    assert (code, found["bases"][0]["state"]) == (1, "error")


def test_doctor_sees_a_store_that_cannot_be_written(own_settings: Callable[..., None]) -> None:
    own_settings(storage="file:///proc/lorary")
    code, found = diagnose()
    assert (code, found["storage"][0]["state"]) == (1, "error")


@pytest.mark.service
def test_doctor_looks_at_a_bucket(bucket: SeaweedFS, own_settings: Callable[..., None]) -> None:
    blob = blob_of(b"12345")
    found = diagnose()[1]
    assert [found[name][0]["state"] for name in ("storage", "bytes", "orphans")] == ["ok"] * 3
    own_settings(storage=bucket.storage())
    code, found = diagnose()
    assert (code, found["storage"][0]["state"]) == (1, "ok")
    assert f"{blob.sha256}: missing." in found["bytes"][0]["message"]


def test_doctor_says_what_a_bucket_that_is_away_says(
    own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    own_settings(storage=f"s3://studio?endpoint=http://127.0.0.1:{free_port()}")
    code, found = diagnose()
    told = [found[name][0] for name in ("storage", "bytes", "orphans")]
    assert (code, {report["state"] for report in told}) == (1, {"error"})
    assert "Could not connect" in told[0]["message"]


@pytest.mark.parametrize(
    ("base_url", "options", "is_refused"),
    [
        ("https://hub.example", "", True),
        ("https://hub.example", "&links=http://files.example", True),
        ("https://hub.example", "&links=https://files.example", False),
        ("https://hub.example", "&links=no", False),
        ("http://hub.example", "", False),
    ],
)
def test_doctor_warns_of_links_that_clients_refuse(
    own_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    options: str,
    is_refused: bool,
) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"links": doctor.PROBES["links"]})
    own_settings(storage=f"s3://studio?endpoint=http://127.0.0.1:8333{options}", base_url=base_url)
    assert [report.state for report in doctor.examine()] == ["warning"] * is_refused


def test_doctor_repeats_what_the_settings_check_finds(own_settings: Callable[..., None]) -> None:
    own_settings(secret_key="short", unknown=("STORAG",))
    code, found = diagnose()
    assert code == 1
    assert {report["state"] for report in found["settings"]} == {"error", "warning"}


def test_doctor_sees_a_disk_that_is_nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.operations.diagnosis.machine.LOW_SPACE_BYTES", 2**70)
    assert diagnose()[1]["space"][0]["state"] == "warning"


def test_doctor_sees_migrations_that_were_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["one", "two"])
    code, found = diagnose()
    assert (code, found["database"][0]["message"]) == (1, "2 migrations not yet applied.")


def test_doctor_stops_where_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DatabaseError

    monkeypatch.setattr(connection, "cursor", fail)
    code, found = diagnose()
    assert (code, found["database"][0]["state"]) == (1, "error")
    assert "storage" in found, "it needs no database"
    assert "guards" not in found


@pytest.mark.parametrize("error", [ConnectionRefusedError, ImportError])
def test_doctor_sees_a_broker_that_is_away(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr("kombu.Connection.ensure_connection", fail)
    code, found = diagnose()
    assert (code, found["broker"][0]["state"]) == (1, "error")
    assert "every second" in found["broker"][0]["hint"]


def test_up_refuses_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Cannot listen on 127.0.0.1:{port}.*--port"):
            run("up", "--port", str(port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_up_refuses_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(CommandError, match=f"Cannot listen on {host}.*--host"):
        run("up", "--host", host)


@pytest.mark.parametrize(
    ("host", "allowed", "is_told"),
    [
        ("0.0.0.0", ("localhost", "[::1]"), True),
        ("0.0.0.0", ("localhost", "hub.example"), False),
        ("127.0.0.1", ("localhost",), False),
    ],
)
def test_up_says_that_other_names_are_not_allowed(
    monkeypatch: pytest.MonkeyPatch,
    own_settings: Callable[..., None],
    host: str,
    allowed: tuple[str, ...],
    is_told: bool,
) -> None:
    own_settings(allowed_hosts=allowed)
    monkeypatch.setattr(Supervisor, "run", lambda *_args, **_kwargs: 0)
    monkeypatch.setattr("django.db.connections.close_all", lambda: None)
    said = StringIO()
    with pytest.raises(SystemExit, match="0"):
        call_command("up", "--port", "0", "--host", host, stdout=StringIO(), stderr=said)
    assert ("LORARY_ALLOWED_HOSTS" in said.getvalue()) == is_told


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["web", "worker of checks", "worker of render"]),
        (["--no-worker"], ["web"]),
        (["--queues", "checks, render.sdxl"], ["web", "worker of checks", "worker of render.sdxl"]),
        (["--queues", "render.sdxl,render.flux1"], ["web", "worker of render.sdxl, render.flux1"]),
    ],
)
def test_up_starts_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], names: list[str]
) -> None:
    seen: list[str] = []

    def pretend(self: Supervisor, **_kwargs: object) -> int:
        seen.extend(child.name for child in self.children)
        return 0

    monkeypatch.setattr(Supervisor, "run", pretend)
    monkeypatch.setattr("django.db.connections.close_all", lambda: None)
    with pytest.raises(SystemExit, match="0"):
        run("up", "--port", "0", *arguments)
    assert seen == names


def test_worker_of_renders_needs_a_bases_file_that_makes_sense(
    own_settings: Callable[..., None],
) -> None:
    path = settings.LORARY.data / "bases.toml"
    path.write_text("[bases.a]\n", encoding="utf-8")
    own_settings(bases=path)
    with pytest.raises(CommandError, match="“family” is missing"):
        run("worker", "--queues", "render")


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["worker", "--queues", "chekcs"], "--queues: 'chekcs' is not a queue; use checks, render"),
        (["up", "--queues", "checks,render.sdlx"], "'render.sdlx' is not a queue"),
        (["up", "--workers", "0"], "--workers: '0' is not a whole number of at least 1"),
        (["up", "--workers", "-1"], "--workers: "),
    ],
)
def test_an_option_that_starts_nothing_is_refused(arguments: list[str], refusal: str) -> None:
    with pytest.raises(CommandError, match=refusal):
        run(*arguments)


def test_worker_needs_a_queue() -> None:
    with pytest.raises(CommandError, match="at least one queue"):
        run("worker", "--queues", " , ")
