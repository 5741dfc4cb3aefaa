"""The guide for one machine without containers, run as written on a machine with systemd.

The commands are those of docs/operations/deployment.md, so that the guide cannot become wrong
without a failing test. Left out are the installation of Debian's packages, which the machine has,
and of the renderer.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.deploy import machine
from tests.deploy.layout import wait_until
from tests.running import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.deploy.machine import Machine

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, machine.TOOLS)),
        reason="needs root and mmdebstrap (apt-get install mmdebstrap)",
    ),
    pytest.mark.timeout(1800),
]

GUIDE = ROOT / "docs" / "operations" / "deployment.md"
HOST = "hub.studio.test"
REPOSITORY = "/srv/lorary.git"
OLD, NEW = "1", "2"
WEBHOOK = "http://127.0.0.1:9000"
#: A server that keeps what is sent to it.
RECEIVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/srv/reported", "wb") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
"""
#: A migration that the next release adds.
MIGRATION = '''"""An index. Before deploy."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("registry", "{before}")]
    operations = [
        migrations.RunSQL(
            "CREATE INDEX of_the_next_release ON registry_adapter (created_at, name)",
            "DROP INDEX of_the_next_release",
        )
    ]
'''


@dataclass
class Operator:
    """Follows the guide on a machine.

    Attributes:
        release: The release of the commands that follow.
        backups: Folder of the backups.
        folder: Folder of the commands that follow.
    """

    machine: Machine
    release: str = OLD
    backups: str = "/var/backups/lorary"
    folder: str = "/srv"

    def follow(self, section: str, step: int | None = None, *numbers: int, given: str = "") -> str:
        """Run blocks of commands of a section of the guide, and return what they printed.

        Args:
            section: Its heading.
            step: Only this step of the section.
            numbers: Which of the blocks, from 0; all without.
            given: What the commands read.
        """
        found = blocks(part_of(section, step))
        lines = [line for n in numbers or range(len(found)) for line in found[n].splitlines()]
        return "\n".join(self.run(line, given=given) for line in lines)

    def run(self, line: str, given: str = "") -> str:
        """Run a command of the guide in the folder of the one before."""
        for name, value in {
            "https://hub.example": f"http://{HOST}", "hub.example": HOST, "REPOSITORY": REPOSITORY,
            "lorary-OLD": f"lorary-{OLD}", "RELEASE": self.release,
            "/var/backups/lorary": self.backups,
        }.items():  # fmt: skip
            line = re.sub(rf"(?<!_){name}", value, line)
        if line.startswith("apt-get "):
            return ""
        if line.startswith("cd "):
            self.folder = line.removeprefix("cd ")
        if " user create " in line:
            line += " --password-stdin"
        script = f"cd {self.folder}\n{line}"
        return self.machine.run(script, given=given, is_online=".venv/bin/pip" in line)


def part_of(section: str, step: int | None = None) -> str:
    """Return a section of the guide, or one of its numbered steps."""
    text = GUIDE.read_text()
    chapter = text[text.index("\n## One machine without") : text.index("\n## Compose")]
    chosen = _only(f"### {section}\n", re.split(r"^(?=### )", chapter, flags=re.MULTILINE))
    if step is None:
        return chosen
    return _only(f"{step}. ", re.split(r"^(?=[0-9]+\. )", chosen, flags=re.MULTILINE))


def _only(begin: str, parts: list[str]) -> str:
    (part,) = (one for one in parts if one.startswith(begin))
    return part


def blocks(part: str) -> list[str]:
    """Return the commands of a part of the guide, block by block."""
    found = re.findall(r"^ *```console\n(.*?)^ *```", part, re.MULTILINE | re.DOTALL)
    return ["\n".join(re.findall(r"^ *# (.*)$", block, re.MULTILINE)) for block in found]


def write_repository(root: Path) -> None:
    """Write a repository with the files of this one as a release, and a next release."""
    place = root / "draft"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    _git(place, "init", "--quiet")
    _commit(place, OLD)
    migrations = place / "registry" / "migrations"
    last = max(path.stem for path in migrations.glob("[0-9]*.py"))
    path = migrations / f"{int(last[:4]) + 1:04}_of_the_next_release.py"
    path.write_text(MIGRATION.format(before=last))
    _commit(place, NEW)
    _git(place, "clone", "--quiet", "--bare", ".", str(root / REPOSITORY.lstrip("/")))
    shutil.rmtree(place)


def _commit(place: Path, tag: str) -> None:
    _git(place, "add", "--all")
    _git(place, "commit", "--quiet", "--message", tag)
    _git(place, "tag", tag)


def _git(place: Path, *arguments: str) -> None:
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=place, check=True)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A machine on which the guide was followed up to the first account and backup."""
    with machine.started(tmp_path_factory.mktemp("machine")) as started:
        write_repository(started.root)
        with (started.root / "etc" / "hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 localhost {HOST}\n")
        operator = Operator(started)
        operator.follow("Install", 1, 0)
        operator.follow("Install", 2)
        operator.follow("Install", 3)
        operator.follow("Install", 4)
        operator.follow("Install", 5, given="correct horse battery\n")
        configure_backups(operator)
        yield operator


def configure_backups(operator: Operator) -> None:
    """Make the first backup in another folder, and have failed ones reported."""
    hub, operator.backups = operator.machine, "/mnt/backup/lorary"
    override, report, on_failure = (
        textwrap.dedent(block)
        for block in re.findall(
            r"^ *```ini\n(.*?)^ *```", part_of("Backups"), re.MULTILINE | re.DOTALL
        )
    )
    units = hub.root / "etc" / "systemd" / "system"
    # What `systemctl edit` writes.
    (units / "lorary-backup.service.d").mkdir()
    (units / "lorary-backup.service.d" / "override.conf").write_text(override)
    (units / "lorary-.service.d" / "40-report.conf").write_text(on_failure)
    (units / "report@.service").write_text(report.replace("https://chat.example", WEBHOOK))
    (hub.root / "srv" / "webhook.py").write_text(RECEIVER)
    hub.run("systemctl daemon-reload; systemd-run --unit webhook python3 /srv/webhook.py")
    operator.follow("Backups")
    # The unit of the backup names it.
    hub.run("rm -r /var/backups/lorary")


def push(operator: Operator, name: str, rank: int) -> str:
    """Publish a file as a new adapter through nginx, and return its sha256."""
    data = kohya(DENOISERS["sd1", "diffusers"], rank=rank)
    (operator.machine.root / "srv" / f"{name}.safetensors").write_bytes(data)
    token = operator.machine.run("lorary-manage token --user ada").split()[-1]
    operator.machine.run(
        f"LORARY_ENDPOINT=http://{HOST} LORARY_TOKEN={token} LORARY_CACHE=/srv/cache "
        f"/opt/lorary/.venv/bin/lorary push /srv/{name}.safetensors --to ada/{name} "
        "--kind style --licence cc0-1.0 --json"
    )
    return hashlib.sha256(data).hexdigest()


def downloaded(operator: Operator, name: str) -> str:
    """Return the sha256 of a file that nginx sends."""
    url = f"http://{HOST}/ada/{name}/resolve/v1/{name}.safetensors"
    return operator.machine.run(f"curl -sSfL {url} | sha256sum").split()[0]


def state_of(operator: Operator, unit: str) -> str:
    return operator.machine.tried(f"systemctl is-active {unit}")[1].strip()


def test_the_hub_takes_uploads_and_sends_files(operator: Operator) -> None:
    for unit in (
        "lorary-web", "lorary-checks", "lorary-backup.timer", "lorary-doctor.timer", "nginx",
    ):  # fmt: skip
        assert state_of(operator, unit) == "active", unit
    sha256 = push(operator, "noir", rank=4)
    assert downloaded(operator, "noir") == sha256
    assert (
        operator.machine.run("systemctl list-units --failed --quiet --plain --no-legend 'lorary*'")
        == ""
    )


def test_systemd_confines_the_processes(operator: Operator) -> None:
    """No capability, a filter of system calls, and no file of others."""
    hub = operator.machine
    hub.run("touch /home/secret; chmod 644 /home/secret")
    for unit in ("lorary-web", "lorary-checks"):
        pid = hub.run(f"systemctl show --property MainPID --value {unit}").strip()
        status = hub.run(f"cat /proc/{pid}/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (facts["CapEff"], facts["NoNewPrivs"], facts["Seccomp"]) == ("0" * 16, "1", "2")
        assert hub.run(f"ps -o user= -p {pid}").strip() == "lorary"
        inside = f"nsenter -t {pid} -m --"
        hub.run(f"{inside} ls /opt/lorary/manage.py")
        assert "Read-only" in hub.tried(f"{inside} touch /opt/lorary/new")[1]
        assert hub.tried(f"{inside} ls /home/secret")[0] != 0


def test_a_backup_that_fails_is_reported(operator: Operator) -> None:
    hub = operator.machine
    assert re.search(r"^20[0-9]{6}T", sets_of(operator), re.MULTILINE)
    assert "backup" in backup_lines(operator)

    identity = hub.run("cat /mnt/backup/lorary/hub")
    (hub.root / "mnt" / "backup" / "lorary" / "hub").write_text(identity[::-1])
    assert hub.tried("systemctl start lorary-backup.service")[0] != 0
    assert hub.run("systemctl is-failed lorary-backup.service").strip() == "failed"
    wait_until(lambda: hub.tried("grep -q '^lorary-backup failed on' /srv/reported")[0] == 0)
    assert "/mnt/backup/lorary" in backup_lines(operator)

    (hub.root / "mnt" / "backup" / "lorary" / "hub").write_text(identity)
    hub.run("systemctl start lorary-backup.service")
    assert "/mnt/backup/lorary" not in backup_lines(operator)


def test_a_hub_that_does_not_start_is_reported(operator: Operator) -> None:
    """By the command that starts it, and by a message."""
    hub, restart = operator.machine, "systemctl restart lorary-web lorary-checks"
    settings = hub.root / "etc" / "lorary" / "lorary.env"
    before = settings.read_text()
    hub.run("systemctl start lorary-doctor.service; rm -f /srv/reported")
    settings.write_text(f"{before}\nLORARY_SIGNUP=nope\n")
    try:
        assert hub.tried(restart)[0] == 1
        assert state_of(operator, "lorary-web") != "active"
        assert hub.tried("systemctl start lorary-doctor.service")[0] == 1
        wait_until(lambda: hub.tried("grep -q '^lorary-doctor failed on' /srv/reported")[0] == 0)
    finally:
        settings.write_text(before)
    hub.run(restart)
    operator.follow("Check the hub")
    hub.run("systemctl start lorary-doctor.service")


def backup_lines(operator: Operator) -> str:
    """Return what ``doctor`` prints about backups."""
    printed = operator.machine.tried("lorary-manage doctor")[1]
    return "\n".join(line for line in printed.splitlines() if " backup " in line)


def sets_of(operator: Operator) -> str:
    return operator.machine.run(f"lorary-manage restore --from {operator.backups} --list")


def release_of(operator: Operator) -> str:
    """Return the release that the web server runs."""
    main = "systemctl show --property MainPID --value lorary-web"
    return operator.machine.run(f"readlink /proc/$({main})/cwd").strip()


def test_an_update_and_the_way_back_keep_the_data(operator: Operator) -> None:
    sha256 = push(operator, "sepia", rank=2)
    operator.release = NEW
    operator.follow("Update")
    assert release_of(operator) == f"/opt/lorary-{NEW}"
    assert f" in /opt/lorary-{NEW}\n" in operator.follow("Check the hub")
    assert downloaded(operator, "sepia") == sha256
    operator.follow("Go back")
    assert release_of(operator) == f"/opt/lorary-{OLD}"
    assert "A newer release has migrated the database" in operator.follow("Check the hub")
    assert downloaded(operator, "sepia") == sha256
    operator.follow("Update", None, 1)
    assert downloaded(operator, "sepia") == sha256
    later = push(operator, "later", rank=3)
    assert downloaded(operator, "later") == later


def test_a_backup_is_restored(operator: Operator) -> None:
    hub, sha256 = operator.machine, push(operator, "kept", rank=5)
    hub.run("systemctl start lorary-backup.service")
    newest = sets_of(operator).splitlines()[-1].split()[0]
    operator.follow("Restore on the same machine", 1)
    # What the archive has.
    hub.run("rm -r /etc/lorary /etc/nginx/conf.d/lorary.conf /etc/systemd/system/report@.service")
    operator.follow("Restore on another machine")
    hub.run("nginx -t; ls /etc/systemd/system/report@.service")
    assert sets_of(operator).splitlines()[-1].split()[0] > newest
    assert "ok" in backup_lines(operator)
    assert downloaded(operator, "kept") == sha256
    assert push(operator, "after", rank=6) == downloaded(operator, "after")
