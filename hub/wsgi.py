"""WSGI entry point: ``gunicorn hub.wsgi``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")

application = get_wsgi_application()

from hub import presence  # noqa: E402 - there are no models before
from registry.services import downloads  # noqa: E402 - the same

# Nobody moves or restores what this process serves; held by the processes it forks as well.
presence.enter()

# Load every page now, before the server forks: once for all processes, and no first visitor waits.
_ = get_resolver().url_patterns

# A server counts for hours, a command or a test does not.
downloads.write_regularly()
