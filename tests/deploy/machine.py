"""A Debian machine with systemd as its first process, in namespaces of this kernel.

The machine has its own processes, mounts, network and control groups, so that units run as on a
server: with their users, sandboxes, system call filters, timers and journal. The kernel is shared.
Only root can start one.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.deploy import pip
from tests.deploy.layout import wait_until
from tests.running import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "nginx", "postgresql-client",
    "git", "curl", "ca-certificates", "iproute2", "procps", "util-linux",
)  # fmt: skip
TOOLS = ("mmdebstrap", "unshare", "nsenter")
#: Mounts what systemd expects and some folders of this machine, makes the first folder the root,
#: and starts systemd in it.
_BOOT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
shift
for folder; do
    mkdir -p ".$folder"
    mount --bind "$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ip link set lo up
mkdir -p old
pivot_root . old
cd /
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """A machine that runs.

    Attributes:
        root: Its root folder, on this machine.
    """

    def __init__(self, root: Path, pid: int) -> None:
        self.root, self._pid = root, pid

    def run(self, script: str, *, given: str = "", is_online: bool = False) -> str:
        """Run a script as root and return what it printed.

        Args:
            given: Text for its standard input.
            is_online: Use the network of this machine instead, for pip.

        Raises:
            AssertionError: it ended with another code than 0.
        """
        code, printed = self.tried(script, given=given, is_online=is_online)
        assert code == 0, f"{script}\n{printed[-4000:]}"
        return printed

    def tried(self, script: str, *, given: str = "", is_online: bool = False) -> tuple[int, str]:
        """Run a script as root; return its exit code and what it printed."""
        spaces = ["-m", "-p", "-u", "-i", "-C", *([] if is_online else ["-n"])]
        environ = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", f"PATH={_PATH}"]
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), *spaces, "--", *environ, "sh", "-ec", script],
            input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout


@contextmanager
def started(folder: Path) -> Iterator[Machine]:
    """Start a new machine, and remove it afterwards.

    Args:
        folder: Where its files lie.
    """
    root = folder / "root"
    root.mkdir()
    try:
        with _booted(root, folder / "console.log") as machine:
            yield machine
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _booted(root: Path, console: Path) -> Iterator[Machine]:
    subprocess.run(["tar", "-xf", str(_debian()), "-C", str(root)], check=True)
    configuration, folders = pip.configuration()
    (root / "etc" / "pip.conf").write_text(configuration)
    shutil.copy("/etc/resolv.conf", root / "etc")
    command = ["unshare", "-m", "-p", "-u", "-i", "-C", "-n", "-f", "--kill-child=KILL"]
    with (
        console.open("wb") as log,
        subprocess.Popen(
            [*command, "sh", "-c", _BOOT, "boot", str(root), *folders],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        ) as process,
    ):  # fmt: skip
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_until(lambda: bool(children.read_text().split()), 10)
            machine = Machine(root, int(children.read_text().split()[0]))
            is_running = "systemctl is-system-running --wait | grep -E 'running|degraded'"
            wait_until(lambda: machine.tried(is_running)[0] == 0, 60)
            yield machine
        finally:
            process.kill()  # unshare ignores SIGTERM; systemd ends with it


def _debian() -> Path:
    """Return Debian with the packages of the guide, as an archive; it is made once."""
    system = platform.freedesktop_os_release()
    suite = system["VERSION_CODENAME"] if system["ID"] == "debian" else "trixie"
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8]
    made = ROOT / "build" / f"machine-{suite}-{digest}.tar"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        draft = Path(f"{made}.new")
        packages = f"--include={','.join(PACKAGES)}"
        make = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", packages]
        subprocess.run([*make, suite, str(draft)], check=True)
        draft.rename(made)
    return made
