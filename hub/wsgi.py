"""WSGI entry point: ``gunicorn hub.wsgi``."""

from __future__ import annotations

import gc
import logging
import os
import re
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.urls import get_resolver

from hub.monitoring import tracing
from hub.monitoring.log_formats import FORMATS

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")

# What is loaded from here on stays. Looking for garbage in it would take a sixth of the start.
gc.disable()

#: All bodies are UTF-8. Django would accept any Python codec by name, and fail before any view at
#: those that do not decode to text (``base64``).
_CHARSET = re.compile(r'(?i);\s*charset\s*=\s*("[^"]*"|[^;]*)')

tracing.start()  # changes the middleware that the application loads
answer = get_wsgi_application()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request."""
    if "CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = _CHARSET.sub("", environ["CONTENT_TYPE"])
    return answer(environ, start_response)


# CPython keeps frames in chunks of 16 kB. In a loop whose calls cross the end of one, each call
# allocates a chunk and frees it, which took a third of the time of some pages. The chunk of a large
# frame has room for all calls below it (https://github.com/python/cpython/issues/142183).
application.__code__ = application.__code__.replace(co_stacksize=2**15)


def _drop_timeout_traceback(record: logging.LogRecord) -> bool:
    """Replace the traceback of a timed out connection by a message; every record passes."""
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        record.msg, record.args, record.exc_info = "closed a connection that timed out", (), None
    return True


_server_log = logging.getLogger("gunicorn.error")
_server_log.addFilter(_drop_timeout_traceback)
for _handler in _server_log.handlers:
    _handler.setFormatter(FORMATS[settings.LORARY.log_format]())

from hub.operations import process_lock  # noqa: E402 - there are no models before
from registry.jobs.worker_process import Cleaner  # noqa: E402 - the same
from registry.versions import download_counts  # noqa: E402 - the same

# Locks the data against a move or restore; forked processes hold the lock, too.
process_lock.hold()

# Import all pages before the server forks: once for all processes, and not in a request.
_ = get_resolver().url_patterns

# A fork must not share connections, nor has it the threads of their pool.
connections.close_all()
for _database in connections.all():
    if _database.vendor == "postgresql":
        _database.close_pool()  # type: ignore[attr-defined]  # of PostgreSQL's alone

# Only a long-lived process needs to write download counts regularly.
download_counts.write_regularly()

# Each machine deletes what its processes left, also one without workers. Threads do not survive the
# fork, after which the processes start.
os.register_at_fork(after_in_child=lambda: Cleaner(threading.Event(), is_for_hub=False).start())

# Exclude loaded modules from garbage collection: the collector would traverse them every few
# requests, and so give each process a copy of the shared memory.
gc.freeze()
gc.enable()
