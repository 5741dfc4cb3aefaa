"""Looks the locked packages up among known vulnerabilities, and writes a bill of materials.

The bill (CycloneDX) lists the packages of a hub with a renderer and the hashes of their files. It
needs no network. The look-up asks PyPI about each package; where PyPI cannot be reached, it is
skipped with the reason. torch is in neither, as it is outside the locks.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What a hub with a renderer installs, and what developing it needs besides.
SHIPPED = ROOT / "requirements" / "worker.txt"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
BILL = ROOT / "build" / "sbom.cdx.json"
#: What pip-audit asks for each package. Mirrors of PyPI often lack it, and then it finds nothing.
SERVICE = "https://pypi.org/pypi/pip/25.0/json"
TIMEOUT_S = 10


def write_bill(lock: Path = SHIPPED, bill: Path = BILL) -> None:
    """Write the bill of materials of a lock; the same lock gives the same bytes."""
    bill.parent.mkdir(parents=True, exist_ok=True)
    command = ["cyclonedx_py", "requirements", str(lock), "--output-reproducible"]
    options = ["--output-format", "JSON", "--output-file", str(bill)]
    subprocess.run([sys.executable, "-m", *command, *options], check=True)


def look_up(*locks: Path, service: str = SERVICE) -> int:
    """Report known vulnerabilities; return 1 if there are some, 0 if none or skipped."""
    try:
        with urllib.request.urlopen(service, timeout=TIMEOUT_S):
            pass
    except OSError as error:
        print(f"Skipped the look-up of vulnerabilities: {service} cannot be reached ({error}).")
        return 0
    files = [option for lock in locks for option in ("--requirement", str(lock))]
    command = [
        "pip_audit",
        "--strict",
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner",
        "off",
    ]
    return subprocess.run([sys.executable, "-m", *command, *files], check=False).returncode


if __name__ == "__main__":
    write_bill()
    print(BILL.relative_to(ROOT))
    sys.exit(look_up(*LOCKS))
