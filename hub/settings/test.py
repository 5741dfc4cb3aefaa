"""Settings of the tests: a separate data directory, and no ``LORARY_*`` from the environment."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

for _name in [name for name in os.environ if name.startswith("LORARY_")]:
    if not _name.startswith(("LORARY_TEST_", "LORARY_REFERENCE")):
        del os.environ[_name]
_data = tempfile.mkdtemp(prefix="lorary-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["LORARY_DATA"] = _data
for _name in ("DATABASE_URL", "BROKER_URL"):
    if f"LORARY_TEST_{_name}" in os.environ:
        os.environ[f"LORARY_{_name}"] = os.environ[f"LORARY_TEST_{_name}"]

from hub.settings.base import *  # noqa: E402, F403 - the environment comes first
from hub.settings.base import DATABASES, STORAGES  # noqa: E402 - the environment comes first

DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; tests only
if "LORARY_TEST_BROKER_URL" not in os.environ:
    CELERY_BROKER_URL = "memory://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {}
# Do not collect or scan the static files for every client.
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
DATABASES["default"].get("OPTIONS", {}).pop("pool", None)  # threads of tests keep theirs
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in a hub: threads that share a database in memory get "table is locked" at once,
    # where those of a file wait for their turn.
    DATABASES["default"]["TEST"] = {"NAME": f"{_data}/test.sqlite3"}
