"""Benchmarks: each figure stands beside what it is compared with, taken in the same run."""

import hub  # noqa: F401 - sets the number of threads of numpy as in the processes of a hub
