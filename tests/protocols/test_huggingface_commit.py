"""Commits by hand: what a push makes, and what is refused of it."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.protocols.huggingface.commits import commit as commit_view
from registry.adapters import services as adapters
from registry.adapters.manifests import main_of
from registry.commits import services as commits
from registry.models import Upload, UploadState
from registry.uploads import by_digest, check
from tests import catalogue as steps
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

PLACE = "/api/models/ada/noir/commit/main"
OTHER = kohya(DENOISERS["sd1", "diffusers"], rank=8)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def line(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def inline(path: str, data: bytes) -> dict[str, Any]:
    return line("file", path=path, content=base64.b64encode(data).decode(), encoding="base64")


def pointer(path: str, data: bytes, **more: Any) -> dict[str, Any]:
    return line("lfsFile", path=path, algo="sha256", oid=sha(data), size=len(data), **more)


def push(client: Client, *lines: Any, place: str = PLACE, **header: Any) -> Any:
    told = [line("header", **{"summary": "Add", "description": "", **header}), *lines]
    body = b"".join(json.dumps(one).encode() + b"\n" for one in told)
    return client.post(place, body, content_type="application/x-ndjson")


def paths(adapter: Adapter) -> list[str]:
    return sorted(main_of(adapter).files.values_list("path", flat=True))


@pytest.fixture
def deposited(ada: User) -> Callable[[bytes], bytes]:
    """Have bytes here that have no name yet."""

    def deposited(data: bytes) -> bytes:
        upload = by_digest.begin(actor=ada, sha256=sha(data), size_bytes=len(data))
        assert upload is not None
        by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(data))
        return data

    return deposited


@pytest.fixture
def accepted(ada: User) -> bytes:
    """Weights that Ada sent, and that were found sound."""
    steps.accept(ada, OTHER, "sent.safetensors")
    return OTHER


def test_more_small_files_than_a_user_may_have_open_are_one_commit(
    as_ada: Client, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_view, "HELD_BYTES", 100)
    monkeypatch.setattr("registry.uploads.services.MAX_OPEN_UPLOADS", 5)
    files = [inline(f"samples/{n}.txt", f"prompt {n} ".encode() * 10) for n in range(12)]
    answer = push(as_ada, *files)
    assert answer.status_code == 200, answer.content
    assert len(paths(noir)) == 13
    answer = push(as_ada, *files, inline("samples/a.png", b"no picture"))
    assert answer.status_code == 422
    assert "samples/a.png" in answer.json()["error"]


def test_weights_make_a_version_and_all_else_a_commit(
    as_ada: Client, noir: Adapter, accepted: bytes
) -> None:
    answer = push(as_ada, pointer("rain.safetensors", accepted), inline("notes.md", b"# N"),
                  summary="Rain", description="More of it")  # fmt: skip
    assert answer.status_code == 200
    main = main_of(noir)
    assert answer.json()["commitOid"] == main.commit
    assert answer.json()["commitUrl"] == f"http://testserver/ada/noir/commit/{main.commit}"
    assert main.message == "Rain\n\nMore of it"
    assert paths(noir) == ["noir.safetensors", "notes.md", "rain.safetensors"]
    assert noir.versions.count() == 2
    push(as_ada, inline("notes.md", b"# Other"))
    assert noir.versions.count() == 2
    assert main_of(noir).parent == main


def test_the_uploads_name_the_adapter_of_a_file_that_was_committed_alone(
    as_ada: Client, as_bob: Client, ada: User, noir: Adapter, client: Client
) -> None:
    assert push(as_ada, inline("README.md", b"# Noir")).status_code == 200
    steps.accept(ada, OTHER, "loose.safetensors")
    rows = as_ada.get("/api/v1/uploads").json()["results"]
    found = {row["path"]: (row["version"], row["adapter"]) for row in rows}
    assert found["README.md"] == (None, "ada/noir")
    assert found["loose.safetensors"] == (None, None)
    assert as_bob.get("/api/v1/uploads").json()["results"] == []
    client.force_login(ada)
    page = html.unescape(" ".join(client.get("/uploads").content.decode().split()))
    assert "It is part of the files of ada/noir." in page
    assert page.count("Checked and not published.") == 1  # the other


def test_a_commit_that_changes_nothing_is_the_one_before(as_ada: Client, noir: Adapter) -> None:
    before = main_of(noir)
    assert push(as_ada).json()["commitOid"] == before.commit
    first = push(as_ada, inline("a.md", b"# A")).json()["commitOid"]
    again = push(as_ada, inline("a.md", b"# A"), parentCommit=before.commit)
    assert again.json()["commitOid"] == first == main_of(noir).commit


def test_files_and_folders_are_deleted(as_ada: Client, noir: Adapter) -> None:
    push(as_ada, inline("a/b.md", b"b"), inline("a/c.md", b"c"), inline("d.md", b"d"))
    push(as_ada, line("deletedFile", path="d.md"), line("deletedFolder", path="a/"))
    assert paths(noir) == ["noir.safetensors"]
    for gone in (line("deletedFile", path="d.md"), line("deletedFolder", path="a/")):
        answer = push(as_ada, gone, summary="Again")
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")


def test_the_later_line_of_a_path_counts(as_ada: Client, noir: Adapter) -> None:
    push(as_ada, inline("a/b.md", b"one"))
    push(as_ada, inline("a/x.md", b"x"), line("deletedFolder", path="a/"), inline("a/b.md", b"two"),
         inline("a/b.md", b"three"))  # fmt: skip
    assert paths(noir) == ["a/b.md", "noir.safetensors"]
    assert main_of(noir).files.get(path="a/b.md").size_bytes == 5


def test_a_file_is_copied_by_its_digest(as_ada: Client, noir: Adapter, lora: bytes) -> None:
    copied = line("lfsFile", path="copy/noir.safetensors", algo="sha256", oid=sha(lora))
    assert push(as_ada, copied).status_code == 200
    assert "copy/noir.safetensors" in paths(noir)


def test_a_stale_parent_is_told_so(as_ada: Client, noir: Adapter) -> None:
    old = main_of(noir).commit
    push(as_ada, inline("a.md", b"a"))
    push(as_ada, inline("b.md", b"b"))
    for parent in (old, old[:7], "0" * 40, "abcde", "x", "main"):
        answer = push(as_ada, inline("c.md", b"c"), parentCommit=parent)
        assert (answer.status_code, "Check what changed" in answer.json()["error"]) == (412, True)
    assert (
        push(as_ada, inline("c.md", b"c"), parentCommit=main_of(noir).commit[:9]).status_code == 200
    )


def test_a_commit_goes_to_a_branch(as_ada: Client, noir: Adapter, first: Version) -> None:
    as_ada.generic("POST", "/api/models/ada/noir/branch/feat%2Frain", b"")
    as_ada.generic("POST", "/api/models/ada/noir/tag/main", b'{"tag": "still"}')
    rain = push(as_ada, inline("a.md", b"a"), place=PLACE.replace("main", "feat%2Frain"))
    assert rain.status_code == 200
    assert paths(noir) == ["noir.safetensors"]
    for ref, status in (("still", 409), ("v1", 409), (first.revision.commit, 404), ("x", 404)):
        answer = push(as_ada, inline("a.md", b"b"), place=PLACE.replace("main", ref))
        assert answer.status_code == status, ref


def test_bytes_that_never_came_make_no_commit(as_ada: Client, noir: Adapter) -> None:
    answer = push(as_ada, inline("a.md", b"a"), pointer("b.safetensors", b"never sent"))
    assert answer.status_code == 409
    assert "b.safetensors" in answer.json()["error"]
    assert paths(noir) == ["noir.safetensors"]


def test_what_the_checks_refuse_refuses_the_commit(
    as_ada: Client, noir: Adapter, deposited: Callable[[bytes], bytes]
) -> None:
    broken = deposited(OTHER[:-9])
    for wrong in (pointer("b.safetensors", broken), inline("a.bin", b"\x80\x02."),
                  inline("a.png", b"<html>"), inline("../a.md", b"a"),
                  inline("README.md", b"---\nlicense: [\n---\n")):  # fmt: skip
        answer = push(as_ada, inline("fine.md", b"fine"), wrong)
        assert answer.status_code in {400, 422}, answer.content
        assert answer.json()["error"]
    assert paths(noir) == ["noir.safetensors"]


def test_a_push_that_waits_too_long_is_to_come_again(
    as_ada: Client,
    noir: Adapter,
    deposited: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commit_view, "WAIT_S", 0.0)
    lines = [pointer("rain.safetensors", deposited(OTHER))]
    early = push(as_ada, *lines)
    assert (early.status_code, early.headers["Retry-After"]) == (503, "5")
    check.run_checks(upload=Upload.objects.get(state=UploadState.CHECKING))
    assert push(as_ada, *lines).status_code == 200
    assert noir.versions.count() == 2


def test_many_small_files_are_not_kept_in_memory(
    as_ada: Client, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    real = commits.commit

    def noted(**asked: Any) -> commits.Committed:
        kept.extend(one.path for one in asked["inlines"])
        return real(**asked)

    monkeypatch.setattr(commits, "commit", noted)
    monkeypatch.setattr(commit_view, "HELD_BYTES", 5)
    files = [inline(f"{number}.md", b"abc" * number) for number in range(1, 5)]
    assert push(as_ada, *files).status_code == 200
    assert kept == ["1.md"]
    assert paths(noir) == ["1.md", "2.md", "3.md", "4.md", "noir.safetensors"]


def test_a_body_says_how_long_it_is_and_is_not_too_long(
    as_ada: Client, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(line("header", summary="x")).encode()
    assert as_ada.generic("POST", PLACE, body, CONTENT_LENGTH="").status_code == 411
    assert as_ada.generic("POST", PLACE, body, CONTENT_LENGTH="-1").status_code == 411
    monkeypatch.setattr(commit_view, "MAX_BODY_BYTES", len(body) - 1)
    assert as_ada.generic("POST", PLACE, body).status_code == 413


def test_the_address_of_a_commit_leads_people_to_its_page(
    as_ada: Client, stranger: Client, ada: User, noir: Adapter, first: Version
) -> None:
    push(as_ada, inline("a.md", b"a"))
    adapters.create(actor=ada, name="empty")
    for path, place in (
        (f"noir/commit/{first.revision.commit}", "/ada/noir?v=v1"),
        (f"noir/commit/{main_of(noir).commit}", "/ada/noir?v=v1"),
        ("noir/tree/v1", "/ada/noir?v=v1"),
        ("noir/blob/main/a.md", "/ada/noir?v=v1"),
        ("noir/tree/nowhere", "/ada/noir"),
        ("empty/tree/main", "/ada/empty"),
    ):
        answer = stranger.get(f"/ada/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (302, place)
        assert stranger.get(place).status_code == 200


def test_an_empty_file_of_a_commit_is_kept_and_read_back(as_ada: Client, noir: Adapter) -> None:
    made = push(as_ada, inline("logs/train.log", b""), inline("notes.txt", b"x"))
    assert made.status_code == 200, made.content
    assert {"logs/train.log", "notes.txt"} <= set(paths(noir))
    listed = as_ada.get("/api/models/ada/noir/tree/main?recursive=true").json()
    (entry,) = [one for one in listed if one["path"] == "logs/train.log"]
    assert entry["size"] == 0
    assert entry["oid"] == hashlib.sha1(b"blob 0\0", usedforsecurity=False).hexdigest()
    for ask in (as_ada.head, as_ada.get):
        answer = ask("/ada/noir/resolve/main/logs/train.log")
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, "0")
    assert b"".join(answer) == b""
    again = push(as_ada, inline("logs/train.log", b""))
    assert again.json()["commitOid"] == made.json()["commitOid"]


@pytest.mark.parametrize("path", ["empty.safetensors", "picture.png"])
def test_an_empty_file_that_cannot_be_is_refused_with_its_name(
    as_ada: Client, noir: Adapter, path: str
) -> None:
    before = paths(noir)
    made = push(as_ada, inline(path, b""), inline("notes.txt", b"x"))
    assert made.status_code == 422
    assert path in made.headers["X-Error-Message"]
    assert paths(noir) == before
