"""The images of ``deploy/Dockerfile``, built by buildah and started.

No registry of containers is asked: mmdebstrap makes the base image, from the same parts as
``python:3.11-slim``: packages of Debian, and this Python in /usr/local. The containers run in a
chroot (``BUILDAH_ISOLATION``): their user, files and commands are those of the image; namespaces,
limits and health checks are not in force.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy import pip
from tests.deploy.layout import wait_until
from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("buildah") and shutil.which("mmdebstrap")),
        reason="there is no buildah (apt-get install buildah netavark mmdebstrap, as root)",
    ),
    pytest.mark.timeout(1800),
]

BASE = "localhost/python-base"


class Buildah:
    """Runs buildah on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._store = [f"--root={folder / 'store'}", f"--runroot={folder / 'run'}"]
        self.environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        # The limits of this machine: buildah would raise them, which a sandbox refuses.
        names = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        hard = {name: resource.getrlimit(limit)[1] for name, limit in names.items()}
        self.limits = [f"--ulimit={name}={n}:{n}" for name, n in hard.items() if n > 0]

    def command(self, verb: str, *arguments: str) -> list[str]:
        """Return a command line."""
        return ["buildah", *self._store, verb, *arguments]

    def __call__(self, verb: str, *arguments: str) -> str:
        """Run a command and return what it printed."""
        command = self.command(verb, *arguments)
        done = subprocess.run(
            command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout.strip()

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """Make a container of an image, and remove it afterwards."""
        name = self("from", *self.limits, image)
        try:
            yield name
        finally:
            self("rm", name)

    def run(self, container: str, *command: str) -> str:
        """Run a command in a container."""
        return self("run", "--network=host", container, "--", *command)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    folder = tmp_path_factory.mktemp("buildah")
    tool, rootfs = Buildah(folder), _rootfs()
    container = tool("from", "scratch")
    tool("add", "-q", container, str(rootfs), "/")
    tool("commit", "-q", "--rm", container, BASE)
    yield tool
    shutil.rmtree(folder, ignore_errors=True)  # some GB


def _rootfs() -> Path:
    """Return Debian of this machine's release with this Python in /usr/local, as an archive."""
    system = platform.freedesktop_os_release()
    suite = system["VERSION_CODENAME"] if system["ID"] == "debian" else "trixie"
    made = ROOT / "build" / f"rootfs-{suite}-{platform.python_version()}.tar"
    if made.exists():
        return made
    made.parent.mkdir(exist_ok=True)
    draft = Path(f"{made}.new")
    hooks = []
    if sys.base_prefix != "/usr":  # else Debian's own
        copy = (
            f"tar -C {sys.base_prefix} --exclude=site-packages --exclude=test --exclude='*.a' "
            '-cf - bin lib | tar -C "$1/usr/local" -xf - && chroot "$1" ldconfig'
        )
        hooks = [f"--customize-hook={copy}"]
    packages = "--include=python3,python3-venv,ca-certificates"
    make = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", packages, *hooks]
    subprocess.run([*make, suite, str(draft)], check=True)
    return draft.rename(made)


def build(tool: Buildah, folder: Path, target: str, *options: str) -> str:
    """Build a target of the Dockerfile, with the pip of this machine, and return its name."""
    secret = folder / "pip.conf"
    configuration, mounts = pip.configuration()
    secret.write_text(configuration)
    tool(
        "build", "--layers", "--format=docker", "--network=host", *tool.limits,
        *(f"--volume={place}:{place}:ro" for place in mounts), f"--secret=id=pip,src={secret}",
        f"--build-arg=PYTHON_IMAGE={BASE}", f"--target={target}", f"--tag=lorary:{target}",
        "--file=deploy/Dockerfile", *options, ".",
    )  # fmt: skip
    return f"localhost/lorary:{target}"


@pytest.fixture(scope="module")
def web(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = build(buildah, tmp_path_factory.mktemp("web"), "web")
    with buildah.container(name) as container:
        yield container


@pytest.fixture(scope="module")
def worker(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    chosen = f"--build-arg=TORCH_VERSION==={metadata.version('torch')}"
    name = build(buildah, tmp_path_factory.mktemp("worker"), "worker", chosen)
    with buildah.container(name) as container:
        yield container


@contextmanager
def started(tool: Buildah, container: str, command: Sequence[str]) -> Iterator[None]:
    """Run a command in a container while the context is entered."""
    line = tool.command("run", "--network=host", container, "--", *command)
    with subprocess.Popen(line, env=tool.environ, stdin=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def test_web_serves_as_its_own_user_and_is_healthy(buildah: Buildah, web: str) -> None:
    facts = json.loads(buildah("inspect", web))["Docker"]["config"]
    assert facts["User"] == "10001:101"
    assert buildah.run(web, "id", "-u") == "10001"
    buildah.run(web, "python", "manage.py", "migrate", "--verbosity", "0")
    port = free_port()
    command = [*facts["Cmd"], "--port", str(port)]
    url = f"http://127.0.0.1:{port}/healthz/ready"

    def is_ready() -> bool:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
        return False

    with started(buildah, web, command):
        wait_until(is_ready, 60)
        kind, *check = facts["Healthcheck"]["Test"]
        assert kind == "CMD"
        buildah.run(web, *(part.replace(":8000", f":{port}") for part in check))


def test_web_has_what_backups_need_and_no_renderer(buildah: Buildah, web: str) -> None:
    assert buildah.run(web, "pg_dump", "--version").startswith("pg_dump")
    missing = "import importlib.util as u; print([n for n in ('torch', 'pip') if u.find_spec(n)])"
    assert "torch" not in buildah.run(web, "python", "-c", missing)
    with pytest.raises(AssertionError, match="Permission denied"):
        buildah.run(web, "touch", "/app/new")
    assert buildah.run(web, "find", "/app", "-name", "pip.conf") == ""


def test_the_worker_renders_with_the_torch_that_was_chosen(buildah: Buildah, worker: str) -> None:
    facts = json.loads(buildah("inspect", worker))["Docker"]["config"]
    assert facts["Healthcheck"]["Test"] == ["NONE"]
    assert facts["Cmd"] == ["python", "manage.py", "worker", "--queues", "render"]
    buildah.run(worker, "python", "manage.py", "migrate", "--verbosity", "0")
    said = buildah.run(worker, "python", "manage.py", "bases", "verify", "miniature")
    assert "miniature" in said
    torch = "import torch; print(torch.__version__, torch.ones(2).sum().item())"
    assert buildah.run(worker, "python", "-c", torch) == f"{metadata.version('torch')} 2.0"
