"""Leave the tests of published files out of runs that allow no skips and have none."""

from __future__ import annotations

import os

from tests.lorary import reference

collect_ignore: list[str] = []
if not reference.IS_HERE and os.environ.get("LORARY_TEST_REQUIRE") == "all":
    # These files are no part of the repository, so a run without them is still a whole one.
    collect_ignore += [
        "test_document_reference.py",
        "test_metadata_reference.py",
        "test_reference.py",
    ]
