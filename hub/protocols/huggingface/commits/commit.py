"""Commits: what was pushed becomes a revision, and a version where its weights are new."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.urls import reverse

from hub.protocols.huggingface.commits.operations import (
    MAX_BODY_BYTES,
    Content,
    Deletion,
    Pointer,
    header_of,
    lines,
    operations,
)
from hub.protocols.huggingface.door import answer, door
from hub.protocols.huggingface.inputs import refuse_pull_request, stream_of
from hub.protocols.huggingface.refusals import ENTRY_NOT_FOUND, REVISION_NOT_FOUND, Refused
from hub.protocols.huggingface.repos.refs import adapter_of, revision_of
from registry.accounts import permissions
from registry.commits import services as commits
from registry.commits import wait_for_checks
from registry.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, JsonResponse

    from hub.protocols.huggingface.commits.operations import Header, Operation
    from registry.models import Adapter, User

#: Contents that are kept in memory until the last line was read; further ones are stored at once.
HELD_BYTES = 8 * 1024 * 1024
#: How many seconds a push waits for its checks; then clients are told to come again.
WAIT_S = commits.WAIT_S


@dataclass(slots=True)
class Changes:
    """What a commit changes, in the order of its lines: the later one of a path counts."""

    puts: dict[str, commits.Put | commits.Inline] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    held: int = 0


@door("POST")
def commit(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Read a commit line by line and make it."""
    refuse_pull_request(request)
    adapter = adapter_of(request, owner, name)
    user = permissions.require_adapter(request.user, adapter)
    documents = lines(stream_of(request, limit=MAX_BODY_BYTES))
    header = header_of(documents)
    revision_of(adapter, ref)  # before what may be a hundred megabytes is read
    changes = _gathered(user, operations(documents))
    made = _made(user, adapter, ref, header, changes)
    place = reverse("hf-commit-page", args=[adapter.owner, adapter.name, made.revision.commit])
    return answer(
        {
            "success": True,
            "commitOid": made.revision.commit,
            "commitUrl": request.build_absolute_uri(place),
            "hookOutput": "",
        }
    )


def _gathered(user: User, changing: Iterator[Operation]) -> Changes:
    changes = Changes()
    for one in changing:
        if isinstance(one, Deletion):
            _delete(changes, one.path)
        elif isinstance(one, Pointer):
            changes.puts[one.path] = commits.Put(one.path, one.sha256, one.size_bytes)
        else:
            changes.puts[one.path] = _kept(user, changes, one)
    return changes


def _delete(changes: Changes, path: str) -> None:
    """Note a deletion, also of what the same commit brought before."""
    gone = [put for put in changes.puts if put == path or put.startswith(f"{path.rstrip('/')}/")]
    for put in gone:
        del changes.puts[put]
    changes.deletes.append(path)


def _kept(user: User, changes: Changes, content: Content) -> commits.Put | commits.Inline:
    """Return a small file as it is, or stored already where many came before it."""
    file = commits.Inline(content.path, content.data)
    changes.held += len(content.data)
    if changes.held <= HELD_BYTES or not content.data:
        return file
    # Judged now: hundreds that wait would be more than a user may have open.
    upload = wait_for_checks.start_checks(user=user, file=file)
    return commits.Put(content.path, upload.digest, len(content.data))


def _made(
    user: User,
    adapter: Adapter,
    ref: str,
    header: Header,
    changes: Changes,
) -> commits.Committed:
    """Make the commit.

    Raises:
        Refused: the branch has moved on (412), or a deletion is of nothing (404).
        UploadRefused, UploadNotReady: see ``commits.commit``.
    """
    files = changes.puts.values()
    try:
        return commits.commit(
            actor=user,
            adapter=adapter,
            ref=ref,
            expected_parent=header.parent or None,
            puts=[one for one in files if isinstance(one, commits.Put)],
            inlines=[one for one in files if isinstance(one, commits.Inline)],
            deletes=changes.deletes,
            message=header.message,
            wait_s=WAIT_S,
        )
    except (NotFound, Conflict) as error:
        raise _told(error) from error


def _told(error: NotFound | Conflict) -> Exception:
    """Return a refusal in this door's words."""
    if isinstance(error, NotFound):
        code = REVISION_NOT_FOUND if "revision" in error.facts else ENTRY_NOT_FOUND
        return Refused(error, code) if {"path", "revision"} & error.facts.keys() else error
    is_stale = type(error) is Conflict and "expected" in error.facts
    return Refused(error, status=412) if is_stale else error
