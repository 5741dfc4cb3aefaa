"""Compose file, chart and units, read by Docker Compose, Helm and systemd."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.utils import timezone

from registry.models import Job, JobState
from tests.deploy.layout import DEPLOY, compose, wait_until
from tests.nginx import Nginx, in_front_of, program
from tests.running import ROOT, RunningHub, free_port

TOOLS = Path(os.environ.get("LORARY_TEST_DEPLOY_TOOLS", ROOT / "build" / "deploy-tools")) / "bin"
SECRET = {
    "secret-key": "x" * 40, "database-url": "postgres://lorary@db/lorary",
    "broker-url": "redis://redis/0", "cache-url": "redis://redis/1",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "storage": "s3://lorary/hub?endpoint=http://s3:8333",
    "secret": {"values": SECRET},
    "bases": {"toml": "[bases.sdxl]\n", "claim": "bases"},
    "data": {"claim": "data"},
    "settings": {"SIGNUP": "false"},
    "image": {"pullSecrets": ["registry"]},
    "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "metrics"}},
    "render": {
        "families": {
            "sdxl": {
                "max": 4, "jobsPerPod": 3, "runtimeClassName": "nvidia",
                "resources": {"limits": {"nvidia.com/gpu": 1}}, "nodeSelector": {"gpu": "l40s"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            },
            "flux1": {"min": 1, "max": 2},
        }
    },
}  # fmt: skip
LEAST: dict[str, Any] = {"storage": "s3://lorary", "secret": {"name": "lorary"}}


def chart(*values: dict[str, Any]) -> list[dict[str, Any]]:
    command = [str(TOOLS / "python"), str(ROOT / "tests" / "deploy" / "chart.py")]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """What the chart makes with every option."""
    (found,) = chart(VALUES)
    assert found["faults"] == []
    made: list[dict[str, Any]] = found["objects"]
    return made


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


@pytest.mark.parametrize("profiles", [[], ["cpu"], ["gpu", "tls"]], ids=str)
def test_docker_compose_takes_the_file(tmp_path: Path, profiles: list[str]) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets"))
    subprocess.run(["sh", str(folder / "make-secrets.sh")], check=True)
    chosen = [part for name in profiles for part in ("--profile", name)]
    command = [str(TOOLS / "docker-compose"), "--file", str(folder / "compose.yaml"), *chosen]
    done = subprocess.run([*command, "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert {"web1", "web2", "checks", "nginx"} <= set(services)
    assert ("render-gpu" in services) == ("gpu" in profiles)
    for name in {"web1", "web2"} & set(services):
        needed = services[name]["depends_on"]
        assert needed["migrate"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("values", [VALUES, LEAST], ids=["everything", "least"])
def test_helm_and_kubernetes_take_the_chart(values: dict[str, Any]) -> None:
    (found,) = chart(values)
    assert found.get("refused") is None
    assert found["faults"] == []
    assert found["lint"]["errors"] == []
    # Severity 1 is advice: an icon.
    assert [one for one in found["lint"]["messages"] if one["severity"] > 1] == []


def test_the_schemas_refuse_what_is_wrong(objects: list[dict[str, Any]]) -> None:
    """A check of the checks: a wrong field of each kind is found."""
    wrong = [{**one, "spec": {**one["spec"], "replicass": 1}} for one in objects if "spec" in one]
    for one, found in zip(wrong, chart(*wrong), strict=True):
        assert "replicass" in " ".join(found["faults"]), one["kind"]


def test_wrong_values_are_refused_with_their_names() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**VALUES, "storage": "file:///data"}, "/storage"),
        ({**VALUES, "secret": {}}, "/secret"),
        ({**VALUES, "replicas": 3}, "replicas"),
        ({**VALUES, "render": {"families": {"sdxl": {"maximum": 1}}}}, "maximum"),
        ({**VALUES, "baseUrl": "hub.example"}, "/baseUrl"),
    ]
    for (_values, name), found in zip(wrong, chart(*(one for one, _ in wrong)), strict=True):
        assert name in found["refused"]


def test_pods_are_confined_and_web_pods_end_after_their_requests(
    objects: list[dict[str, Any]],
) -> None:
    pods = [*of_kind(objects, "Deployment").values(), *of_kind(objects, "Job").values()]
    assert len(pods) == 5
    for one in pods:
        pod = one["spec"]["template"]["spec"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (
            True,
            False,
        )
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (
            True,
            False,
        )
        assert context["capabilities"] == {"drop": ["ALL"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in pod["volumes"]}
    web = of_kind(objects, "Deployment")["hub-web"]["spec"]
    assert web["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert web["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]
    assert "replicas" not in web  # the autoscaler's
    hook = of_kind(objects, "Job")["hub-migrate"]["metadata"]["annotations"]
    assert hook["helm.sh/hook"] == "pre-install,pre-upgrade"
    first = of_kind(objects, "Secret")["hub"]["metadata"]["annotations"]["helm.sh/hook-weight"]
    assert int(first) < int(hook["helm.sh/hook-weight"])


@pytest.mark.django_db
def test_renderers_are_scaled_by_the_jobs_of_their_family(objects: list[dict[str, Any]]) -> None:
    now = timezone.now()
    for number, (queue, state) in enumerate([
        ("render.sdxl", JobState.QUEUED), ("render.sdxl", JobState.RUNNING),
        ("render.sdxl", JobState.DONE), ("render.flux1", JobState.QUEUED),
        ("checks", JobState.QUEUED),
    ]):  # fmt: skip
        Job.objects.create(queue=queue, task="paint", key=str(number), state=state, created_at=now)
    scaled = of_kind(objects, "ScaledObject")
    assert set(scaled) == {"hub-render-sdxl", "hub-render-flux1"}
    deployments = of_kind(objects, "Deployment")
    for name, expected in {"hub-render-sdxl": 2, "hub-render-flux1": 1}.items():
        (trigger,) = scaled[name]["spec"]["triggers"]
        with connection.cursor() as cursor:
            cursor.execute(trigger["metadata"]["query"])
            assert cursor.fetchone() == (expected,)
        assert scaled[name]["spec"]["scaleTargetRef"]["name"] in deployments
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        variables = {entry["name"] for entry in container["env"]}
        assert trigger["metadata"]["connectionFromEnv"] in variables


@pytest.fixture
def units(tmp_path: Path) -> dict[str, str]:
    """The units as installed; returns the environment for systemd."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze (apt-get install systemd)")
    folder = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", folder)
    return {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}


NAMES = [
    "lorary-web", "lorary-checks", "lorary-render@render", "lorary-migrate", "lorary-backup",
    "lorary-doctor",
]  # fmt: skip


def test_systemd_takes_the_units(units: dict[str, str]) -> None:
    folder = Path(units["SYSTEMD_UNIT_PATH"].rstrip(":"))
    others = [
        str(folder / name)
        for name in ("lorary.target", "lorary-backup.timer", "lorary-doctor.timer")
    ]
    command = ["systemd-analyze", "verify", *(str(folder / f"{n}.service") for n in NAMES), *others]
    done = subprocess.run(command, env=units, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "lorary" in line]) == (
        0,
        [],
    )


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_the_units_confined(units: dict[str, str], name: str) -> None:
    file = Path(units["SYSTEMD_UNIT_PATH"].rstrip(":")) / f"{name}.service"
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(file)]
    done = subprocess.run(command, env=units, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]  # an exposure below 2.0 of 10
    has_device = "char-nvidia" in done.stdout
    assert has_device == ("render" in name)
    assert re.search(r"Overall exposure level for \S{1,80}: [01]\.[0-9]", done.stdout)


@pytest.mark.skipif(
    shutil.which("caddy") is None, reason="there is no caddy (apt-get install caddy)"
)
@pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)")
def test_the_companion_adds_tls_and_the_hub_knows_it(tmp_path: Path) -> None:
    """Caddy with a certificate of its own, nginx and a hub, as compose.yaml connects them."""
    folder, address = tmp_path / "nginx", "172.30.78.2"
    with RunningHub(tmp_path / "hub", "--no-worker", TRUST_PROXY="true") as hub:
        port, secure = free_port(), free_port()
        servers = in_front_of(hub.port, hub.data, port)
        assert servers.count(address) == 2
        trusting = servers.replace(address, "127.0.0.1")
        text = (DEPLOY / "Caddyfile").read_text().replace("nginx:8080", f"127.0.0.1:{port}")
        config = tmp_path / "Caddyfile"
        options = f"http_port {free_port()}\nadmin off\nlocal_certs\nskip_install_trust\n"
        config.write_text(f"{{\n{options}}}\n{text}")
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LORARY_HOST": f"localhost:{secure}",
        }  # fmt: skip
        command = [*compose()["services"]["tls"]["command"]]
        command[command.index("/etc/caddy/Caddyfile")] = str(config)
        with (
            Nginx(folder, port, trusting),
            subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as caddy,
        ):
            # The certificate is of the test's own authority.
            unchecked = ssl._create_unverified_context()
            asked = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
            told: dict[str, Any] = {}

            def answers() -> bool:
                line = http.client.HTTPSConnection("localhost", secure, context=unchecked)
                with closing(line), suppress(OSError):
                    line.request("GET", "/api/v1/adapters/no/body", headers=asked)
                    with line.getresponse() as response:
                        told.update(json.load(response))
                return bool(told)

            try:
                wait_until(answers, 30)
            finally:
                caddy.terminate()
        assert told["status"] == 404
        assert told["type"].startswith(f"https://localhost:{secure}/")
        # What a client says of its address does not count.
        log = hub.data.with_suffix(".access.log").read_text()
        assert (log.startswith("127.0.0.1 ["), "203.0.113.9" in log) == (True, False)
