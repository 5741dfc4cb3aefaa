"""The body of a commit, line by line."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.protocols.huggingface.commits import operations as reading
from hub.protocols.huggingface.commits.operations import Content, Deletion, Header, Pointer
from hub.protocols.huggingface.repos.shapes import INLINE_BYTES
from registry.errors import Invalid, LoraryError, TooLarge

if TYPE_CHECKING:
    from hub.protocols.huggingface.commits.operations import Operation

SHA = "ab" * 32


def line(key: Any, **value: Any) -> bytes:
    return json.dumps({"key": key, "value": value}).encode() + b"\n"


HEAD = line("header", summary="Add", description="")


def read(body: bytes) -> tuple[Header, list[Operation]]:
    documents = reading.lines(io.BytesIO(body))
    return reading.header_of(documents), list(reading.operations(documents))


def test_a_commit_says_who_then_what() -> None:
    header, found = read(
        line("header", summary=" Add ", description="More.", parentCommit="ABCDEF")
        + line("file", path="a.md", content=base64.b64encode(b"# A").decode(), encoding="base64")
        + line("lfsFile", path="b.safetensors", algo="sha256", oid=SHA.upper(), size=7)
        + line("lfsFile", path="c.safetensors", algo="sha256", oid=SHA)
        + line("deletedFile", path="d.md")
        + b"\n"
        + line("deletedFolder", path="e/").strip()
    )
    assert header == Header("Add\n\nMore.", "ABCDEF")
    assert found == [
        Content("a.md", b"# A"),
        Pointer("b.safetensors", SHA, 7),
        Pointer("c.safetensors", SHA, None),
        Deletion("d.md"),
        Deletion("e/"),
    ]


def test_lines_are_the_same_however_the_body_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    body = HEAD + line("deletedFile", path="é.md") * 3
    whole = read(body)
    for size in (1, 2, 7, len(HEAD)):
        monkeypatch.setattr(reading, "BLOCK", size)
        assert read(body) == whole


def test_contents_are_taken_up_to_their_limit() -> None:
    data = b"x" * INLINE_BYTES
    _header, found = read(HEAD + line("file", path="a", content=base64.b64encode(data).decode()))
    assert found == [Content("a", data)]
    over = base64.b64encode(data + b"x").decode()
    with pytest.raises(TooLarge, match="with LFS before the commit"):
        read(HEAD + line("file", path="a", content=over))


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(TooLarge):
        list(reading.lines(stream))
    assert stream.given <= reading.MAX_LINE_BYTES + reading.BLOCK


def test_a_commit_has_not_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_OPERATIONS", 3)
    read(HEAD + line("deletedFile", path="a") * 2)
    with pytest.raises(TooLarge, match="at most 3"):
        read(HEAD + line("deletedFile", path="a") * 3)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n\n", b"x", b"3", b"[]", b"null", b"{}", b'{"key": "header"}', b"\xff\xfe",
        b"[" * 5000, line("file", path="a", content=""), line(None), line(3), line(["header"]),
        b'{"key": "header", "value": []}', line("header", summary=3),
        line("header", summary="a", description=["b"]),
        line("header", summary="a", parentCommit=7),
        HEAD + line("header", summary="again"), HEAD + line("copyFile", path="a", srcPath="b"),
        HEAD + b"x", HEAD + line(None, path="a"), HEAD + line({"a": 1}, path="a"),
        HEAD + line("file", content="YQ=="), HEAD + line("file", path=3, content="YQ=="),
        HEAD + line("file", path="a", content="Y"), HEAD + line("file", path="a", content="ä"),
        HEAD + line("file", path="a", content="Y Q=="), HEAD + line("file", path="a", content=3),
        HEAD + line("file", path="a", content="YQ==", encoding="utf-8"),
        HEAD + line("file", path="a\0b", content="YQ=="),
        HEAD + line("lfsFile", path="a"), HEAD + line("lfsFile", path="a", oid="x"),
        HEAD + line("lfsFile", path="a", oid=SHA, algo="md5"),
        HEAD + line("lfsFile", path="a", oid=SHA, size="7"),
        HEAD + line("lfsFile", path="a", oid=SHA, size=-1),
        HEAD + line("lfsFile", path="a", oid=SHA, size=2**63),
        HEAD + line("lfsFile", path="a", oid=SHA, size=True),
        HEAD + line("deletedFile"), HEAD + line("deletedFolder", path=None),
    ],
)  # fmt: skip
def test_what_is_no_commit_is_refused(body: bytes) -> None:
    with pytest.raises(LoraryError) as refused:
        read(body)
    assert type(refused.value) is Invalid
    assert str(refused.value.detail)
