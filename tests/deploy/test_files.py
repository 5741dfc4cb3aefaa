"""The files of ``deploy/``, as far as they can be checked without containers and their tools."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, get_commands, load_command_class

from tests.deploy.layout import DEPLOY, compose, settings_of
from tests.nginx import CONFIG, in_front_of, program
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

SERVICES: dict[str, Any] = compose()["services"]
OF_HUB = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {name: service for name, service in OF_HUB.items() if "worker" in service["command"]}


def dockerfile(instruction: str) -> list[str]:
    """Return the arguments of an instruction, wherever it stands."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [
        line.removeprefix(instruction).strip() for line in lines if line.startswith(instruction)
    ]


def commands() -> list[tuple[str, list[str]]]:
    """Return every ``manage.py …`` of compose file, image, chart and units, with its file."""
    found = [(name, service["command"]) for name, service in OF_HUB.items()]
    found += [("Dockerfile", json.loads(line)) for line in dockerfile("CMD ")]
    for unit in (DEPLOY / "systemd").glob("*.service"):
        lines = re.findall(r"^ExecStart=(.{1,300})$", unit.read_text(), re.MULTILINE)
        found += [(unit.name, shlex.split(line.replace("%i", "render"))) for line in lines]
    for template in (DEPLOY / "helm" / "lorary" / "templates").glob("*.yaml"):
        lines = re.findall(
            r"^ +command: (\[python, .{1,300}\])$", template.read_text(), re.MULTILINE
        )
        queues = [line.replace("{{ $worker.queue }}", "render.sdxl") for line in lines]
        plain = [re.sub(r"\{\{[^}]{1,60}\| quote \}\}", "'2'", line) for line in queues]
        found += [(template.name, [str(one) for one in yaml.safe_load(line)]) for line in plain]
    return [(name, command) for name, command in found if "manage.py" in command]


@pytest.mark.e2e
@pytest.mark.slow
def test_the_image_finds_a_hub_healthy_whose_host_it_does_not_name(tmp_path: Path) -> None:
    hosts = SERVICES["web1"]["environment"]["LORARY_ALLOWED_HOSTS"]
    assert "127.0.0.1" not in hosts
    (said,) = [line.partition(" CMD ")[2] for line in dockerfile("HEALTHCHECK --")]
    with RunningHub(tmp_path / "hub", "--no-worker", ALLOWED_HOSTS="web,hub.example") as hub:
        interpreter, *arguments = json.loads(said)
        assert interpreter == "python"
        command = [part.replace(":8000", f":{hub.port}") for part in arguments]
        subprocess.run([sys.executable, *command], check=True, timeout=30)
    gone = subprocess.run([sys.executable, *command], check=False, capture_output=True, timeout=30)
    assert gone.returncode != 0


def test_commands_are_those_of_this_release() -> None:
    found = commands()
    verbs = {command[command.index("manage.py") + 1] for _name, command in found}
    assert verbs >= {"up", "worker", "migrate", "backup"}
    for name, command in found:
        verb, *arguments = command[command.index("manage.py") + 1 :]
        known = load_command_class(get_commands()[verb], verb)
        try:
            known.create_parser("manage.py", verb).parse_args(arguments)
        except CommandError as error:
            pytest.fail(f"{name}: {command}: {error}")


def test_settings_are_those_of_this_release() -> None:
    known = settings.LORARY.known
    for name, service in OF_HUB.items():
        assert settings_of(service) <= known, name
    text = (DEPLOY / "systemd" / "lorary.env").read_text()
    assert set(re.findall(r"LORARY_([A-Z_]{2,40})=", text)) <= known
    chart = (DEPLOY / "helm" / "lorary" / "templates" / "_helpers.tpl").read_text()
    assert set(re.findall(r"LORARY_([A-Z_]{2,40})\b", chart)) <= known


def test_containers_are_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if service["restart"] != "no":
            assert service["deploy"]["resources"]["limits"]["memory"], name
            assert "/tmp" in service.get("tmpfs", []) or name in {"redis", "tls"}, name


def test_containers_of_workers_stay_drained_and_are_not_asked_for_a_web_server() -> None:
    assert set(WORKERS) == {"checks", "render-cpu", "render-gpu"}
    for service in WORKERS.values():
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "on-failure"  # a drained worker exits with 0
    assert dockerfile("HEALTHCHECK NONE") == [""]
    for name in ("web1", "web2"):
        assert "healthcheck" not in SERVICES[name]  # the image's
    for name in ("database", "redis", "s3", "nginx"):
        assert SERVICES[name]["healthcheck"]["test"], name


def test_a_graphics_card_is_reserved_by_its_profile_only() -> None:
    resources = SERVICES["render-gpu"]["deploy"]["resources"]
    (device,) = resources["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert SERVICES["render-gpu"]["profiles"] == ["gpu"]
    assert "reservations" not in SERVICES["render-cpu"]["deploy"]["resources"]


def test_secrets_are_files_that_the_script_writes(tmp_path: Path) -> None:
    make = ["sh", str(DEPLOY / "make-secrets.sh"), str(tmp_path / "secrets")]
    subprocess.run(make, check=True)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    named = {entry["file"] for entry in compose()["secrets"].values()}
    assert {f"secrets/{name}" for name in made} == named
    subprocess.run(make, check=True)  # again: nothing changes
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(made["secret_key"]) >= 40
    assert made["database"] in made["database_url"]
    text = (DEPLOY / "compose.yaml").read_text()
    assert not [name for name, secret in made.items() if secret in text]
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == set(made)


def test_the_companion_has_the_address_that_nginx_trusts() -> None:
    address = SERVICES["tls"]["networks"]["front"]["ipv4_address"]
    config = (DEPLOY / "nginx.conf").read_text()
    assert re.findall(r"set_real_ip_from (.{1,40});", config) == [address]
    assert re.findall(r"^ +(\S{1,40}) https;", config, re.MULTILINE) == [address]
    assert (
        address.rpartition(".")[0] in compose()["networks"]["front"]["ipam"]["config"][0]["subnet"]
    )


def test_units_share_what_confines_them() -> None:
    common = configparser.ConfigParser(strict=False, interpolation=None)
    common.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    common.read(DEPLOY / "systemd" / "lorary-.service.d" / "10-common.conf")
    for name, value in {
        "ProtectSystem": "strict", "NoNewPrivileges": "yes", "StateDirectory": "lorary",
        "User": "lorary", "CapabilityBoundingSet": "",
    }.items():  # fmt: skip
        assert common["Service"][name] == value
    for unit in (DEPLOY / "systemd").glob("*.service"):
        assert unit.name.startswith("lorary-")
        if "manage.py worker" in unit.read_text():
            assert "Restart=on-failure" in unit.read_text(), unit.name


#: Refuses modules of packages that are not in the first argument, then imports the others.
IMPORTS = """
import importlib, importlib.metadata, sys
locked = set(sys.argv[1].split())
owners = importlib.metadata.packages_distributions()
class Refuses:
    def find_spec(self, name, path=None, target=None):
        names = {one.lower().replace("_", "-") for one in owners.get(name.partition(".")[0], [])}
        if names and not names & locked:
            raise ModuleNotFoundError(f"{name} is not in requirements/base.txt")
sys.meta_path.insert(0, Refuses())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def test_the_lock_of_web_nodes_has_what_brokers_and_caches_import() -> None:
    """Packages do not name all that their optional parts import; pip does not find this."""
    lock = (ROOT / "requirements" / "base.txt").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]{1,80})==", lock, re.MULTILINE)
    locked = " ".join(name.lower().replace("_", "-") for name in names)
    used = ["kombu.transport.redis", "kombu.transport.pyamqp", "django.core.cache.backends.redis"]
    used += ["gunicorn.app.base", "django.db.backends.postgresql.base", "boto3", "redis"]
    ran = subprocess.run([sys.executable, "-c", IMPORTS, locked, *used],
                         capture_output=True, text=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_variables_of_the_caller_win_over_the_settings_of_the_units(tmp_path: Path) -> None:
    """Otherwise a restore drill would work on the hub that runs."""
    text = (DEPLOY / "systemd" / "lorary-manage").read_text()
    settings_file = tmp_path / "lorary.env"
    settings_file.write_text("LORARY_STORAGE=file:///live\nLORARY_SIGNUP=false\n")
    text = text.replace("/etc/lorary/lorary.env", str(settings_file))
    text = text.replace("/opt/lorary", str(tmp_path)).replace("runuser -u lorary -- ", "")
    text = text.replace('.venv/bin/python manage.py "$@"', 'env "$@"')
    given = {"LORARY_DATA": "/tmp/it's a trial", "LORARY_STORAGE": ""}
    live = ["LORARY_DATA=/var/lib/lorary", "LORARY_SIGNUP=false", "LORARY_STORAGE=file:///live"]
    (tmp_path / "other").mkdir()
    other = {"LORARY_RELEASE": str(tmp_path / "other"), "SUDO_USER": "grace"}
    for environment, expected in [
        (given, ["LORARY_DATA=/tmp/it's a trial", "LORARY_SIGNUP=false", "LORARY_STORAGE="]),
        ({}, live),
        (other, live),
    ]:
        ran = subprocess.run(
            ["/bin/sh", "-c", text, "lorary-manage"],
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        shown = sorted(line for line in ran.stdout.splitlines() if line.startswith("LORARY_"))
        assert shown == expected
        lines = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
        assert lines["PWD"] == environment.get("LORARY_RELEASE", str(tmp_path))
        assert lines["SUDO_USER"] == environment.get("SUDO_USER", lines["SUDO_USER"] or None)


#: Stands for manage.py: says which interpreter and packages it has, now and after a line of input.
TOLD = """
import subprocess, sys
print(sys.executable, flush=True)
sys.stdin.readline()
subprocess.run([sys.executable, "-c", "import release; print(release.__file__)"], check=True)
import release
print(release.__file__)
"""


def test_a_process_of_a_unit_keeps_to_its_release_when_the_link_is_switched(tmp_path: Path) -> None:
    (unit,) = [line for name, line in commands() if name == "lorary-checks.service"]
    for name in ("old", "new"):
        folder = tmp_path / name
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True
        )
        (packages,) = folder.glob(".venv/lib/*/site-packages")
        (packages / "release.py").touch()
        (folder / "manage.py").write_text(TOLD)
    link, old = tmp_path / "link", str((tmp_path / "old").resolve())
    link.symlink_to("old")
    process = subprocess.Popen(
        unit, cwd=link, env={"PATH": "/usr/bin:/bin"},  # as systemd: without PWD
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == f"{old}/.venv/bin/python"
    link.unlink()
    link.symlink_to("new")
    told = process.communicate("\n", timeout=30)[0].splitlines()
    assert process.returncode == 0
    assert [line.startswith(f"{old}/.venv/lib/") for line in told] == [True, True], told


def test_the_units_use_the_link_that_an_update_switches() -> None:
    """Only WorkingDirectory names it: see the test above."""
    guide = (ROOT / "docs" / "operations" / "deployment.md").read_text()
    assert guide.count("ln -sfnT /opt/lorary-RELEASE /opt/lorary\n") == 2
    assert "git checkout" not in guide
    for file in (DEPLOY / "systemd").rglob("*"):
        if file.is_file():
            named = set(re.findall(r"/opt/[\w.-]+", file.read_text()))
            assert named <= {"/opt/lorary", "/opt/lorary-2.0"}, file.name
        if file.suffix == ".service":
            (start,) = re.findall(r"^ExecStart=(.{1,300})$", file.read_text(), re.MULTILINE)
            assert start.startswith("/usr/bin/env .venv/bin/python manage.py "), file.name


@pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)")
def test_nginx_takes_the_file_as_it_ships(tmp_path: Path) -> None:
    config = tmp_path / "nginx.conf"
    servers = in_front_of(8000, tmp_path / "hub", 8080)
    config.write_text(CONFIG.format(folder=tmp_path, user="", servers=servers))
    command = [str(program()), "-t", "-p", str(tmp_path), "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
