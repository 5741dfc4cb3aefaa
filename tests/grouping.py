"""Which files one test process runs one after the other, because they share running hubs."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

#: Each process that runs one of these starts the hubs of its own.
SHARING_HUBS = {
    "tests/api/test_live.py",
    "tests/e2e/test_assistants.py",
    "tests/e2e/test_command_line.py",
    "tests/e2e/test_pack_tryouts.py",
    "tests/e2e/test_projects.py",
    "tests/e2e/test_races.py",
    "tests/e2e/test_refusals.py",
    "tests/e2e/test_tryouts.py",
    "tests/hub/test_charsets.py",
}


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files as units, and those that share hubs as one unit."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "sharing hubs" if file in SHARING_HUBS else file
