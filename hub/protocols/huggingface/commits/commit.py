"""Commits: a push creates a revision, and a version if its weights are new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from hub.protocols.huggingface.commits.operations import (
    MAX_BODY_BYTES,
    Content,
    Deletion,
    Header,
    Operation,
    Pointer,
    header_of,
    lines,
    operations,
)
from hub.protocols.huggingface.endpoint import answer, endpoint
from hub.protocols.huggingface.inputs import refuse_pull_request, stream_of
from hub.protocols.huggingface.refusals import ENTRY_NOT_FOUND, REVISION_NOT_FOUND, Refused
from hub.protocols.huggingface.repos.refs import adapter_of, revision_of
from registry.accounts import permissions
from registry.commits import services as commits
from registry.commits import wait_for_checks
from registry.errors import Conflict, NotFound
from registry.models import Adapter, User

#: Bytes of contents that are held in memory until the last line; further ones are stored at once.
HELD_BYTES = 8 * 1024 * 1024
#: Seconds that a push waits for its checks before clients are asked to retry.
WAIT_S = commits.WAIT_S


@dataclass(slots=True)
class Changes:
    """The changes of a commit; a later line for a path replaces an earlier one."""

    puts: dict[str, commits.Put | commits.Inline] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    held: int = 0


@endpoint("POST")
def commit(request: HttpRequest, owner: str, name: str, ref: str) -> JsonResponse:
    """Read a commit line by line and make it."""
    refuse_pull_request(request)
    adapter = adapter_of(request, owner, name)
    user = permissions.require_adapter(request.user, adapter)
    documents = lines(stream_of(request, limit=MAX_BODY_BYTES))
    header = header_of(documents)
    revision_of(adapter, ref)  # before up to a hundred megabytes are read
    changes = _gather_changes(user, operations(documents))
    made = _make_commit(user, adapter, ref, header, changes)
    place = reverse("hf-commit-page", args=[adapter.owner, adapter.name, made.revision.commit])
    return answer(
        {
            "success": True,
            "commitOid": made.revision.commit,
            "commitUrl": request.build_absolute_uri(place),
            "hookOutput": "",
        }
    )


def _gather_changes(user: User, changing: Iterator[Operation]) -> Changes:
    changes = Changes()
    for one in changing:
        if isinstance(one, Deletion):
            _delete(changes, one.path)
        elif isinstance(one, Pointer):
            changes.puts[one.path] = commits.Put(one.path, one.sha256, one.size_bytes)
        else:
            changes.puts[one.path] = _hold_or_store(user, changes, one)
    return changes


def _delete(changes: Changes, path: str) -> None:
    """Record a deletion, also of files that the same commit added before."""
    gone = [put for put in changes.puts if put == path or put.startswith(f"{path.rstrip('/')}/")]
    for put in gone:
        del changes.puts[put]
    changes.deletes.append(path)


def _hold_or_store(user: User, changes: Changes, content: Content) -> commits.Put | commits.Inline:
    """Return a small file with its content, or stored if the memory limit is reached."""
    file = commits.Inline(content.path, content.data)
    changes.held += len(content.data)
    if changes.held <= HELD_BYTES or not content.data:
        return file
    # Checked now: hundreds of open uploads would exceed the user's limit.
    upload = wait_for_checks.start_checks(user=user, file=file)
    return commits.Put(content.path, upload.digest, len(content.data))


def _make_commit(
    user: User,
    adapter: Adapter,
    ref: str,
    header: Header,
    changes: Changes,
) -> commits.Committed:
    """Create the commit."""
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
        raise _commit_refusal(error) from error


def _commit_refusal(error: NotFound | Conflict) -> Exception:
    """Return an error with the status that Hugging Face clients expect."""
    if isinstance(error, NotFound):
        code = REVISION_NOT_FOUND if "revision" in error.facts else ENTRY_NOT_FOUND
        return Refused(error, code) if {"path", "revision"} & error.facts.keys() else error
    is_stale = type(error) is Conflict and "expected" in error.facts
    return Refused(error, status=412) if is_stale else error
