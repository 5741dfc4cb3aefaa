"""Looks the locked packages up among known vulnerabilities, and writes a bill of materials.

The bill (CycloneDX) lists the packages of a hub with a renderer and the hashes of their files. It
needs no network. The look-up asks PyPI about each package; where PyPI cannot be reached, it is
skipped with the reason. torch is in neither, as it is outside the locks.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What a hub with a renderer installs, and what developing it needs besides.
SHIPPED = ROOT / "requirements" / "worker.txt"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
BILL = ROOT / "build" / "sbom.cdx.json"
#: What pip-audit says when it has found something. Its exit code is the same for every failure.
FOUND = re.compile(r"^Found \d{1,6} known vulnerabilit", re.MULTILINE)


def write_bill(lock: Path = SHIPPED, bill: Path = BILL) -> None:
    """Write the bill of materials of a lock; the same lock gives the same bytes."""
    bill.parent.mkdir(parents=True, exist_ok=True)
    command = ["cyclonedx_py", "requirements", str(lock), "--output-reproducible"]
    options = ["--output-format", "JSON", "--output-file", str(bill)]
    subprocess.run([sys.executable, "-m", *command, *options], check=True)


def look_up(*locks: Path) -> int:
    """Report known vulnerabilities; return 1 if there are some, 0 if none or skipped."""
    files = [option for lock in locks for option in ("--requirement", str(lock))]
    command = [sys.executable, "-m", "pip_audit", "--strict", "--require-hashes", "--disable-pip"]
    done = subprocess.run(
        [*command, "--progress-spinner", "off", *files], capture_output=True, text=True, check=False
    )
    if done.returncode and not FOUND.search(done.stderr):
        reason = (done.stderr.strip().splitlines() or ["no reason is known"])[-1]
        print(f"Skipped the look-up of vulnerabilities: {reason}")
        return 0
    print(done.stdout, done.stderr, sep="", end="")
    return done.returncode


if __name__ == "__main__":
    write_bill()
    print(BILL.relative_to(ROOT))
    sys.exit(look_up(*LOCKS))
