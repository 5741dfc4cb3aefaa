"""The files of ``deploy/``, as far as they can run without containers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.nginx import CONFIG, in_front_of, program
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "deploy"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.e2e
@pytest.mark.slow
def test_the_image_finds_a_hub_healthy_whose_host_it_does_not_name(tmp_path: Path) -> None:
    hosts = services()["web"]["environment"]["LORARY_ALLOWED_HOSTS"]
    assert "127.0.0.1" not in hosts
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    (said,) = [line for line in lines if line.startswith("HEALTHCHECK CMD ")]
    with RunningHub(tmp_path / "hub", "--no-worker", ALLOWED_HOSTS="web,hub.example") as hub:
        interpreter, *arguments = json.loads(said.removeprefix("HEALTHCHECK CMD "))
        assert interpreter == "python"
        command = [part.replace(":8000", f":{hub.port}") for part in arguments]
        subprocess.run([sys.executable, *command], check=True, timeout=30)
    gone = subprocess.run([sys.executable, *command], check=False, capture_output=True, timeout=30)
    assert gone.returncode != 0


def test_containers_of_workers_are_not_asked_for_a_web_server() -> None:
    workers = {
        name: service
        for name, service in services().items()
        if "build" in service and "worker" in service["command"]
    }
    assert set(workers) == {"checks", "render"}
    for service in workers.values():
        assert service["healthcheck"] == {"disable": True}
    assert "healthcheck" not in services()["web"]


@pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)")
def test_nginx_takes_the_file_as_it_ships(tmp_path: Path) -> None:
    config = tmp_path / "nginx.conf"
    servers = in_front_of(8000, tmp_path / "hub", 8080)
    config.write_text(CONFIG.format(folder=tmp_path, user="", servers=servers))
    command = [str(program()), "-t", "-p", str(tmp_path), "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
