"""The inside of a confined process. It does not use Django.

The folder of the work has ``order.json`` and the sources. The process writes ``outcome.json``;
while it runs, ``step`` has the number of its step. The kernel limits its memory, time and written
bytes, whatever a file declares.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from lorary.algebra.errors import AlgebraError
from lorary.safetensors import HeaderError
from registry.confined import processes

ORDER, OUTCOME, STEP = "order.json", "outcome.json", "step"
#: Memory besides the mapped files, and the size of a new file in sizes of the sources: a fused
#: module has the factors of up to four, possibly in a format of twice the size.
MEMORY_BYTES, LARGEST = 4 * 2**30, 8

Work: TypeAlias = "Callable[[Path, dict[str, Any]], dict[str, Any]]"


def main(folder: Path, sources: Sequence[Path], work: Work) -> None:
    """Work within limits and write the outcome; ``refused`` in it is the code of a refusal.

    Args:
        sources: The files that are read.
        work: Gets the folder and the order, and returns the outcome.
    """
    order = json.loads((folder / ORDER).read_text("utf-8"))
    confine(sum(source.stat().st_size for source in sources), order["seconds"])
    try:
        outcome = work(folder, order)
    except AlgebraError as error:
        outcome = {"refused": error.code, "reason": error.detail}
    except HeaderError as error:
        outcome = {"refused": error.code, "reason": error.detail}
    except MemoryError:
        outcome = {"refused": "too_large", "reason": "It takes more memory than is allowed."}
    except OSError as error:
        if error.errno == errno.EFBIG:  # Python ignores SIGXFSZ
            outcome = {"refused": "too_large", "reason": "The file is larger than is allowed."}
        elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
            sys.exit(os.EX_TEMPFAIL)
        else:
            raise
    (folder / OUTCOME).write_text(json.dumps(outcome), "utf-8")


def confine(size_bytes: int, seconds: int) -> None:
    """Set the limits of this process."""
    processes.limit(
        {
            resource.RLIMIT_AS: MEMORY_BYTES + 3 * LARGEST * size_bytes,
            resource.RLIMIT_FSIZE: LARGEST * size_bytes + 64 * 2**20,
        }
    )
    signal.alarm(seconds)
    os.nice(5)  # uploads are checked by the same machine
