"""The tree of refusals mirrors the server's."""

from __future__ import annotations

import json
import pickle
import re
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary.algebra import AlgebraError, convert
from lorary.client import errors
from lorary.client.http.json_answers import failure_of
from registry import errors as server
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from lorary import Hub
    from tests.client.fakehub import FakeHub


def every_leaf(root: type[server.LoraryError]) -> list[type[server.LoraryError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in every_leaf(child))]


#: Errors whose code is always one of a list.
LISTS: dict[type[errors.LoraryError], str] = {
    lorary.AlgebraError: "ALGEBRA_CODES",
    lorary.HeaderError: "HEADER_CODES",
    lorary.SourceError: "SOURCE_CODES",
}
MIRRORED = every_leaf(server.LoraryError)[1:]


@pytest.mark.parametrize("theirs", MIRRORED, ids=lambda cls: cls.__name__)
def test_each_server_error_has_its_mirror(theirs: type[server.LoraryError]) -> None:
    ours = getattr(errors, theirs.__name__)
    assert ours.code == theirs.code
    assert ours.__bases__[0].__name__ == theirs.__bases__[0].__name__


def test_codes_are_unique() -> None:
    codes = [cls.code for cls in errors.every_class() if "code" in vars(cls)]
    assert len(codes) == len(set(codes))


def test_tree_is_drawn_whole() -> None:
    drawn = set(re.findall(r"[├└]── (\w+) +(\w+)", errors.__doc__ or ""))
    classes = [*errors.every_class()][1:]
    assert drawn == {
        (cls.__name__, cls.code if "code" in vars(cls) else LISTS[cls]) for cls in classes
    }


@pytest.mark.parametrize("cls", LISTS, ids=lambda cls: cls.__name__)
def test_an_error_with_a_list_of_codes_has_no_other(cls: type[errors.LoraryError]) -> None:
    with pytest.raises(TypeError, match="code"):
        cls("Wrong.")
    for error in (cls("Wrong.", code="x"), errors.Gone("Gone.", status=410, facts={"a": 1})):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("cls", list(errors.every_class()), ids=lambda cls: cls.__name__)
def test_drawn_builtins_are_the_real_ones(cls: type[errors.LoraryError]) -> None:
    line = re.search(rf"── {cls.__name__} .*", errors.__doc__ or "")
    drawn = set(re.findall(r"also an? (\w+)", line[0] if line else ""))
    own = {base.__name__ for base in cls.__bases__ if not issubclass(base, errors.LoraryError)}
    assert drawn == own - {"Exception"}
    assert str(cls("What is wrong.", code="x")) == "What is wrong."
    assert cls in LISTS or cls().detail.endswith((".", "login.", "@version."))


def test_problem_becomes_its_class_with_findings_and_facts() -> None:
    problem = {
        "type": "about:blank#x", "title": "Refused", "status": 422, "detail": "Not an adapter.",
        "code": "upload_refused", "path": "a",
        "findings": [{"code": "c", "severity": "error", "message": "m", "evidence": {"a": 1}}, 3],
    }  # fmt: skip
    error = failure_of(422, json.dumps(problem).encode())
    assert isinstance(error, errors.UploadRefused)
    assert isinstance(error, ValueError)
    assert (error.detail, error.status, error.facts) == ("Not an adapter.", 422, {"path": "a"})
    assert [(f.code, f.severity, f.evidence) for f in error.findings] == [("c", "error", {"a": 1})]


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (413, errors.TooLarge),
        (429, errors.RateLimited),
        (500, errors.ServerFault),
        (507, errors.StorageFull),
        (418, errors.LoraryError),
    ],
)
def test_unknown_code_becomes_the_class_of_its_status(
    status: int, cls: type[errors.LoraryError]
) -> None:
    error = failure_of(status, b'{"code": "from_the_future", "detail": "New."}')
    assert type(error) is cls
    assert error.code == "from_the_future"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": 3}', b"[" * 100_000])
def test_answer_of_something_else_still_becomes_an_error(body: bytes) -> None:
    error = failure_of(502, body)
    assert type(error) is errors.ServerFault
    assert "502" in error.detail


def test_every_error_is_a_name_of_the_package() -> None:
    classes = {cls.__name__: cls for cls in errors.every_class()}
    assert classes.keys() <= set(lorary.__all__)
    assert {name: getattr(lorary, name) for name in classes} == classes


def test_a_url_that_cannot_be_read_is_an_error_of_the_package(fake: FakeHub) -> None:
    with pytest.raises(lorary.LoraryError) as caught:
        lorary.inspect(f"{fake.url}/none.safetensors")
    assert isinstance(caught.value, lorary.SourceError)
    assert isinstance(caught.value, OSError)
    assert caught.value.status == 404
    with pytest.raises(FileNotFoundError):  # as for ``open``
        lorary.inspect("none.safetensors")


def test_a_negative_limit_is_invalid_at_once(hub: Hub, fake: FakeHub) -> None:
    for call in (lorary.search, hub.search, hub.packs):
        with pytest.raises(errors.Invalid, match="0 or more"):
            call("noir", limit=-1)
    with pytest.raises(errors.Invalid, match="0 or more"):
        hub.uploads(limit=-1)
    assert fake.seen == []


def test_refusals_of_the_algebra_are_errors_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "noir.safetensors"
    for content, name, code in (
        (b"", "HeaderError", "file_empty"),
        (safetensors({"weight": ("F16", [4, 4])}), "AlgebraError", "not_an_adapter"),
    ):
        path.write_bytes(content)
        with pytest.raises(lorary.LoraryError) as caught:
            convert(path, to="kohya", out=tmp_path / "out.safetensors")
        assert type(caught.value) is getattr(lorary, name)
        assert isinstance(caught.value, ValueError)
        assert caught.value.to_dict() == {"code": code, "message": str(caught.value)}


def test_a_hub_cannot_send_an_error_of_a_local_file() -> None:
    for cls in (lorary.HeaderError, lorary.SourceError, AlgebraError):
        body = json.dumps({"code": cls.code, "detail": "No."}).encode()
        assert type(failure_of(422, body)) is errors.Invalid
