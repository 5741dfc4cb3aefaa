"""Static files with a digest of their bytes in their names, which browsers keep for a year.

```
<data>/static/<digest of all static files>/
├── staticfiles.json            the names with a digest (Django's manifest)
├── css/tokens.css              the unchanged file, cached for a minute
├── css/tokens.0ecd0ca4a6b6.css with a digest, cached for a year
└── css/tokens.0ecd0ca4a6b6.css.br, .gz
```

The first web process of a release collects the files before it serves requests, so no command
is needed after an update and the code folder can be read-only. A release with other
files collects them into another folder, so that processes of two releases can run at once.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.files.storage import FileSystemStorage
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

from registry.local_files import make_folder

#: Number of folders of other releases that are kept: a process of the previous one may still run.
OTHERS = 2
#: Seconds after which an unfinished folder counts as left by a killed process.
DRAFT_S = 3600
#: Part of the digest; increase it when this module writes different files for the same sources.
FORM = 1

#: Files of the admin that no page of it uses: read-only pages have no field that completes, and
#: scripts are used in their short form. They would be half of all files.
_UNUSED = re.compile(r"admin/(js/vendor/(select2/|\w{1,32}/\w{1,32}\.js)|css/vendor/|img/gis/)")

_DIGEST = re.compile(r"\.[0-9a-f]{12}(?=\.[^./]{1,8}\Z)")

Found = dict[str, tuple[FileSystemStorage, str]]


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc] # not typed
    """Finds the names with digests, and collects the files if this release has not done so."""

    support_js_module_import_aggregation = True

    def __init__(self, location: Path | None = None) -> None:
        super().__init__(location=str(location or collected()))


class StaticMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc] # not typed
    """Serves the collected files; in debug mode, the unchanged files of the code.

    A page that was opened before an update may request names of that release. It gets the file of
    this release, which caches keep for a minute only.
    """

    FOREVER = 31_536_000

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        if not self.autorefresh:
            self.add_files(str(collected()), prefix=self.static_prefix)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return a static file, or the response of the hub."""
        path = request.path_info
        if path not in self.files and path.startswith(self.static_prefix):
            path = _DIGEST.sub("", path)
        found = self.files.get(path)
        if found is None:
            return super().__call__(request)  # type: ignore[no-any-return]
        return self.serve(found, request)  # type: ignore[no-any-return]


@cache
def collected() -> Path:
    """Return the folder with the collected files of this release; collect them if needed.

    They are written to a folder with a temporary name, which is then renamed: a process sees all
    files or none, and if several processes start together, only one folder remains.
    """
    parent: Path = settings.LORARY.data / "static"
    found = _found()
    folder = parent / _digest(found)
    if folder.is_dir():
        folder.touch()  # recently used folders are kept
        return folder
    make_folder(parent)
    draft = Path(tempfile.mkdtemp(dir=parent, prefix="."))
    try:
        _collect(found, draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _delete_old(parent, folder)
    return folder


def _found() -> Found:
    """Return all static files by their names."""
    found: Found = {}
    for finder in finders.get_finders():
        for path, storage in finder.list([]):
            prefix = getattr(storage, "prefix", None)  # that of the admin's files
            name = f"{prefix}/{path}" if prefix else path
            if not _UNUSED.match(name):
                found.setdefault(name, (storage, path))
    return found


def _digest(found: Found) -> str:
    """Return the digest of all files, and of the settings that affect how they are written."""
    digest = hashlib.sha256(repr((FORM, django.__version__)).encode())
    for name, (storage, path) in sorted(found.items()):
        digest.update(repr((name, Path(storage.path(path)).read_bytes())).encode())
    return digest.hexdigest()[:16]


def _collect(found: Found, folder: Path) -> None:
    """Write the files, their copies with digests, compressed forms and the manifest."""
    target = HashedStorage(folder)
    for name, (storage, path) in found.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(storage.path(path), copy)
    for _name, _hashed, processed in target.post_process(found):
        if isinstance(processed, Exception):
            raise processed


def _delete_old(parent: Path, current: Path) -> None:
    """Delete the folders of all but the last releases, and those of interrupted starts."""
    folders = {path: path.stat().st_mtime for path in parent.iterdir() if path != current}
    drafts = [path for path in folders if path.name.startswith(".")]
    others = sorted(folders.keys() - set(drafts), key=folders.__getitem__)
    stale = [path for path in drafts if folders[path] < time.time() - DRAFT_S]
    for path in [*others[:-OTHERS], *stale]:
        shutil.rmtree(path, ignore_errors=True)
