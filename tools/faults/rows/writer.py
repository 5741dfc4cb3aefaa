"""Changes adapters at random until it is killed, and says a line after each change.

    LORARY_DATA=/tmp/hub python -m tools.faults.rows.writer SEED

What it says is committed: ``edited``, ``published`` and so on.
"""

from __future__ import annotations

import os
import sys
from random import Random

import django

#: Adapters that are changed, and words that they get.
ADAPTERS, WORDS = 60, 1_000
REFUSED = "refused"


def main() -> None:
    """Write until nobody reads what is said any more."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")
    django.setup()
    from registry.errors import LoraryError  # noqa: PLC0415 - models need the settings above
    from tools.faults.rows.writes import write  # noqa: PLC0415 - as above

    random = Random(sys.argv[1])
    while True:
        try:
            done = write(random, random.randrange(ADAPTERS), f"word{random.randrange(WORDS)}")
        except LoraryError:  # another writer was there first
            done = REFUSED
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
