"""Files of a hub for fsspec: ``lorary://owner/name@version/file``.

```
lorary://studio                          its adapters
lorary://studio/noir                     the files of the latest version
lorary://studio/noir@v3/noir.safetensors
```

It is read-only. `pip install 'lorary[fsspec]'` registers it; pandas, pyarrow, datasets and others
then take these addresses, with ``endpoint``, ``token`` and ``home`` as storage options.
"""

# ruff: noqa: ANN401, FBT001, FBT002 - the signatures are those of fsspec

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile

from lorary.client.errors import LoraryError, NotFound, ReferenceInvalid
from lorary.client.hub import Hub
from lorary.client.models import File
from lorary.client.names import Reference, is_name
from lorary.client.transfers.cache import is_permanent

__all__ = ["LoraryFile", "LoraryFileSystem"]

Info = dict[str, Any]


class LoraryFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The adapters of a hub as folders of files.

    A file that is opened is read in ranges, as far as they are needed; from the cache of `lorary`
    if it is there. ``get``, and ``cat`` without a range, verify the whole file and leave it in that
    cache.

    Args:
        endpoint: As `Hub` takes it.
        token: As `Hub` takes it.
        home: As `Hub` takes it.
        **options: Those of every file system of fsspec.

    Raises:
        SettingInvalid: one of these values is invalid.
    """

    protocol = "lorary"
    root_marker = ""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        home: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._hub = Hub(endpoint, token, home=home)
        self._permanent: dict[str, tuple[File, ...]] = {}  # files of versions that never change

    @property
    def fsid(self) -> str:
        """A name of the hub."""
        return f"lorary:{self._hub.endpoint}"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what is in a folder.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        path = self._strip_protocol(path)
        rows = list(self._rows(path))
        return rows if detail else [row["name"] for row in rows]

    def info(self, path: str, **_: Any) -> Info:
        """Return name, type, size, sha256 and role of a file, or name and type of a folder.

        Raises:
            FileNotFoundError: there is neither.
        """
        path = self._strip_protocol(path)
        rows = list(self._rows(path))
        return rows[0] if _is_file(rows, path) else _folder(path)

    def ukey(self, path: str) -> str:
        """Return the sha256 of a file."""
        return self._file(path).sha256

    def cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        **_: Any,
    ) -> bytes:
        """Return the bytes of a file; the whole file is verified."""
        file = self._file(path)
        if start is None and end is None:
            with _as_os_errors(path):
                return self._hub.pull_file(file).read_bytes()
        first, last, _step = slice(start, end).indices(file.size_bytes)
        with _as_os_errors(path):
            return self._hub.read_range(file, first, last)

    def get_file(
        self,
        rpath: str,
        lpath: Any = None,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: Any = None,
        **_: Any,
    ) -> None:
        """Copy a file here, verified. A folder is created."""
        if not self.isdir(rpath):
            file = self._file(rpath)
            callback.set_size(file.size_bytes)
            with _as_os_errors(rpath):
                self._hub.pull_file(
                    file, on_progress=lambda update: callback.absolute_update(update.done)
                )
        super().get_file(rpath, lpath, outfile=outfile)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            _refuse()
        file = self._file(path)
        place = self._hub.cached(file)
        if place is not None:
            return place.open("rb")
        return LoraryFile(self, path, mode, size=file.size_bytes, file=file, **options)

    def read_range(self, file: File, start: int, end: int) -> bytes:
        """Return bytes of a file."""
        with _as_os_errors(file.path):
            return self._hub.read_range(file, start, end)

    def _file(self, path: str) -> File:
        path = self._strip_protocol(path)
        _, inner = _split(path)
        found = next((one for one in self._files(path) if inner and one.path == inner), None)
        if found is not None:
            return found
        if inner and not any(one.path.startswith(f"{inner}/") for one in self._files(path)):
            raise _missing(path)
        raise IsADirectoryError(errno.EISDIR, "This is a folder", path)

    def _files(self, path: str) -> tuple[File, ...]:
        """Return the files of the version that a path is in."""
        name, _ = _split(path)
        if name not in self._permanent:
            with _as_os_errors(path):
                files = self._hub.files(name)
            if not is_permanent(Reference.parse(name).rev):
                return files
            self._permanent[name] = files
        return self._permanent[name]

    def _rows(self, path: str) -> Iterator[Info]:
        """Yield what is in a folder; of a file, itself."""
        if "/" not in path:
            yield from self._adapters(path)
            return
        name, inner = _split(path)
        prefix = f"{inner}/" if inner else ""
        seen = set()
        for file in self._files(path):
            if file.path == inner:
                yield _row(path, file)
                return
            if not file.path.startswith(prefix):
                continue
            first, slash, _ = file.path.removeprefix(prefix).partition("/")
            place = f"{name}/{prefix}{first}"
            if place not in seen:
                seen.add(place)
                yield _folder(place) if slash else _row(place, file)
        if inner and not seen:
            raise _missing(path)

    def _adapters(self, owner: str) -> Iterator[Info]:
        if not is_name(owner):
            msg = "Name an owner: lorary://owner"
            raise FileNotFoundError(errno.ENOENT, msg, owner)
        with _as_os_errors(owner):
            names = [one.full_name for one in self._hub.search(owner=owner)]
        if not names:
            raise _missing(owner)
        yield from map(_folder, names)

    def _write(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse to change anything. Raises OSError: always."""
        _refuse()

    cp_file = makedirs = mkdir = mv = pipe_file = put_file = rm = rm_file = rmdir = touch = _rm = (
        _write
    )


class LoraryFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file of a hub that is read in ranges."""

    def __init__(
        self, fs: LoraryFileSystem, path: str, *rest: Any, file: File, **more: Any
    ) -> None:
        self._file = file
        super().__init__(fs, path, *rest, **more)

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.read_range(self._file, start, end)
        return data


@contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raise errors of a hub as those that users of files expect."""
    try:
        yield
    except (NotFound, ReferenceInvalid) as error:
        raise FileNotFoundError(errno.ENOENT, error.detail.rstrip("."), path) from error
    except OSError:  # many errors of a hub are
        raise
    except LoraryError as error:
        raise OSError(errno.EIO, error.detail.rstrip("."), path) from error


def _split(path: str) -> tuple[str, str]:
    """Return ``owner/name[@version]`` and the path in the version."""
    owner, _, rest = path.partition("/")
    name, _, inner = rest.partition("/")
    return f"{owner}/{name}", inner


def _row(name: str, file: File) -> Info:
    return {
        "name": name, "type": "file", "size": file.size_bytes, "sha256": file.sha256,
        "role": file.role,
    }  # fmt: skip


def _folder(name: str) -> Info:
    return {"name": name, "type": "directory", "size": 0}


def _is_file(rows: list[Info], path: str) -> bool:
    return len(rows) == 1 and rows[0] == {**rows[0], "name": path, "type": "file"}


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "The hub has no such file", path)


def _refuse() -> NoReturn:
    raise OSError(errno.EROFS, "lorary:// is read-only; publish versions with lorary.push")
