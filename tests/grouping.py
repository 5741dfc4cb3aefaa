"""Which files one test process runs one after the other, because they share running hubs."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

#: A process that runs one file of a group runs them all, with hubs of its own.
GROUPS = {
    "sharing hubs": {
        "tests/api/test_live.py",
        "tests/e2e/test_assistants.py",
        "tests/e2e/test_browser_login.py",
        "tests/e2e/test_command_line.py",
        "tests/e2e/test_pack_tryouts.py",
        "tests/e2e/test_projects.py",
        "tests/e2e/test_pushed_folders.py",
        "tests/e2e/test_races.py",
        "tests/e2e/test_refusals.py",
        "tests/e2e/test_tryouts.py",
        "tests/hub/test_charsets.py",
    },
    "sharing a fair": {"tests/exports/test_node_pack.py", "tests/exports/test_pixels.py"},
}


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files as units, and those of a group as one unit."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((name for name, files in GROUPS.items() if file in files), file)
