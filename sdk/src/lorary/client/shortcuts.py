"""The most common calls, with the hub taken from the environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lorary.anatomy import Inspection, inspect_bytes, inspect_file, inspect_url
from lorary.client.config import token_for
from lorary.client.hub import Hub
from lorary.client.names import split_hub
from lorary.client.notebooks.results import Results, require_limit
from lorary.client.progress import OnProgress, silent
from lorary.replacing import StrPath

if TYPE_CHECKING:
    from lorary.client.models import Adapter
    from lorary.client.resolving.references import LoraReference
    from lorary.client.transfers.details import Details
    from lorary.client.transfers.publishing import Pushed


def inspect(
    place: StrPath | bytes | bytearray | memoryview | BinaryIO,
) -> Inspection:
    """Return anatomy and findings of a file, without a hub.

    Args:
        place: A path, the bytes of a file, a seekable binary file, or an ``http`` or ``https`` URL,
            of which only the header is fetched; for a URL of your hub, your token is sent.

    Raises:
        OSError: the file cannot be read; as for `open`, it is no LoraryError.
        SourceError: the URL cannot be read.
        SettingInvalid: for a URL: the settings of this computer are invalid, so it is unknown
            whether the URL belongs to one of your hubs.
    """
    if isinstance(place, (bytes, bytearray, memoryview)):
        return inspect_bytes(bytes(place))
    if isinstance(place, str) and place.lower().startswith(("http://", "https://")):
        return inspect_url(place, headers=token_for(place).headers)
    return inspect_file(place)


def pull(
    reference: str,
    *,
    to: StrPath | None = None,
    verify: bool = False,
    force: bool = False,
    all_files: bool = False,
    on_progress: OnProgress = silent,
) -> Path:
    """Download ``owner/name[@version]`` and return its path; see `Hub.pull`.

    ``work:owner/name`` is on the hub that `lorary hub add work URL` named.
    In the folder ``to``, a file with a generic name is written as ``owner--name.safetensors``.

    Returns:
        The primary weights file, ready for ``load_lora_weights``; the folder if it has none.
    """
    name, rest = split_hub(reference)
    with Hub(name or None) as hub:
        pulled = hub.pull(
            rest, to=to, verify=verify, force=force, all_files=all_files, on_progress=on_progress
        )
    return pulled.path


def push(
    files: StrPath | Sequence[StrPath],
    to: str,
    *,
    details: Details | None = None,
    draft: bool = False,
    wait: bool = False,
    on_progress: OnProgress = silent,
) -> Pushed:
    """Publish files as a version of ``owner/name`` or ``hub:owner/name``; see `Hub.push`."""
    name, rest = split_hub(to)
    with Hub(name or None) as hub:
        return hub.push(
            files, rest, details=details, draft=draft, wait=wait, on_progress=on_progress
        )


def resolve(
    files: StrPath | Sequence[StrPath],
    *,
    folders: Sequence[StrPath] = (),
    on_progress: OnProgress = silent,
) -> tuple[LoraReference, ...]:
    """Return the adapters that pictures and workflows name; see `Hub.resolve`.

    Raises:
        FileMissing, FileUnreadable: a file cannot be read.
        Unreachable: the hub does not answer.
    """
    with Hub() as hub:
        answer = hub.resolve(files, folders=folders, on_progress=on_progress)
    for error in (*(file.error for file in answer.files), answer.failure):
        if error is not None:
            raise error
    return answer.references


def search(  # noqa: PLR0913 - the filters of the catalogue, by keyword
    query: str = "",
    *,
    family: str = "",
    kind: str = "",
    tag: str | Sequence[str] = "",
    owner: str = "",
    sort: str = "",
    max_rating: str = "",
    limit: int | None = None,
) -> Results[Adapter]:
    """Return an iterator over adapters, which a notebook shows as pictures; see `Hub.search`.

    Raises:
        Invalid: the limit is negative.
    """
    require_limit(limit)

    def found() -> Iterator[Adapter]:
        with Hub() as hub:
            yield from hub.search(
                query, family=family, kind=kind, tag=tag, owner=owner, sort=sort,
                max_rating=max_rating, limit=limit,
            )  # fmt: skip

    return Results(found())
