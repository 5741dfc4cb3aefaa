"""The speed of this machine at rendering templates, where pages spend most of their time.

``python -m benchmarks.setup.speed`` prints the milliseconds.
"""

from __future__ import annotations

import subprocess
import sys
import time

from django.conf import settings
from django.template import Context, Engine

#: Milliseconds of ``template_ms`` on the machine that limits in milliseconds are meant for.
NORMAL_MS = 17.0
#: Cells of a side of the table, and how often it is rendered.
SIDE, ROUNDS = 100, 9
_TABLE = """<table>
{% for row in table %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>"""


def template_ms() -> float:
    """Return the least CPU ms in which Django's template engine renders 10,000 cells.

    Another process does it, because Django is configured once for each process.

    Source: the benchmark ``django_template`` of pyperformance.
    """
    command = [sys.executable, "-m", "benchmarks.setup.speed"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def slowness() -> float:
    """Return its CPU time here divided by ``NORMAL_MS``, at least 1."""
    return max(1.0, template_ms() / NORMAL_MS)


def _least() -> float:
    settings.configure()
    template = Engine().from_string(_TABLE)
    context = Context({"table": [range(SIDE)] * SIDE}, use_l10n=False)
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        template.render(context)
        taken.append(1000 * (time.process_time() - began))
    return min(taken)


if __name__ == "__main__":
    print(_least())
