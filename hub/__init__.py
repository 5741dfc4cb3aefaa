"""The web application of Lorary: pages, API and protocols."""

import os

# numpy reads it when it is loaded. The threads of OpenBLAS wait in loops, which doubles the CPU
# time of the checks: their matrices are small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
