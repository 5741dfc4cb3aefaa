"""WSGI entry point: ``gunicorn hub.wsgi``."""

from __future__ import annotations

import gc
import logging
import os
import re
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")

#: Everything here is UTF-8. Django would take any codec of Python by its name, and fail before its
#: first line of ours at those that make no text (``base64``).
_CHARSET = re.compile(r'(?i);\s*charset\s*=\s*("[^"]*"|[^;]*)')

answer = get_wsgi_application()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request."""
    if "CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = _CHARSET.sub("", environ["CONTENT_TYPE"])
    return answer(environ, start_response)


def _in_a_line(record: logging.LogRecord) -> bool:
    """Say of a connection that stood still, or nearly, that it did, without a traceback."""
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        record.msg, record.args, record.exc_info = "a connection stood still: closed", (), None
    return True


logging.getLogger("gunicorn.error").addFilter(_in_a_line)

from hub.operations import process_lock  # noqa: E402 - there are no models before
from registry.versions import download_counts  # noqa: E402 - the same

# Nobody moves or restores what this process serves; held by the processes it forks as well.
process_lock.enter()

# Load every page now, before the server forks: once for all processes, and no first visitor waits.
_ = get_resolver().url_patterns

# A server counts for hours, a command or a test does not.
download_counts.write_regularly()

# What is loaded by now stays until the end: the collector would walk through all of it every few
# requests, and by that make each process a copy of its own.
gc.collect()
gc.freeze()
