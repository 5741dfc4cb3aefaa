"""What ``deploy/`` ships, checked by the tools that read it.

``make test-deploy`` installs the tools (``requirements/deploy-tools.in``) and runs every file here;
``make test`` leaves out the files that need them.
"""

from __future__ import annotations

import os

collect_ignore = (
    []
    if os.environ.get("LORARY_TEST_DEPLOY") == "1"
    else ["test_tools.py", "test_image.py", "test_machine.py"]
)
