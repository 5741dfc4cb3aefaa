"""Looks into a hub from a process of its own: one JSON request a line, one answer a line.

    {"do": "audit"}   →   {"said": {"uploads": {"accepted": 12}, …, "faults": []}}

It has the hub's settings, but a grace period of no days, so that ``sweep`` shows at once what
would go after a week.
"""

from __future__ import annotations

import json
import os
import sys

import django
from django.db import connections


def main() -> None:
    """Answer until nobody asks any more."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")
    django.setup()
    from tools.faults.rows import consistency, jobs  # noqa: PLC0415 - models need the settings above

    does = consistency.DOES | jobs.DOES

    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"said": does[asked.pop("do")](**asked)}
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        finally:
            connections.close_all()  # no snapshot, and no lost connection, is kept
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
