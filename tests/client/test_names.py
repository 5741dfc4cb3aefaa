"""Names from people, paths from hubs."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from lorary.client.errors import ReferenceInvalid, SettingInvalid, UnsafePath
from lorary.client.names import Reference, absolute, check_endpoint, check_paths, safe_segment

REVISION = "0123456789abcdef0123456789abcdef01234567"

HOSTILE = {
    "climbs": "../evil.safetensors",
    "climbs_inside": "a/../../evil.safetensors",
    "absolute": "/etc/cron.d/evil",
    "home": "~/.ssh/authorized_keys/../../x",
    "backslash": "..\\..\\evil.dll",
    "drive": "C:/evil.dll",
    "stream": "a.safetensors:evil",
    "unc": "//server/share/evil",
    "empty": "",
    "empty_segment": "a//b",
    "dot": "./a",
    "nul": "a\0.safetensors",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "right_to_left": "a\u202efdp.exe",
    "line_separator": "a\u2028b",
    "git_config": ".git/config",
    "git_config_in_folder": "a/.GIT/hooks/post-checkout",
    "git_by_its_short_name": "GIT~1/config",
    "start_up_file": ".bashrc",
    "editor_tasks": ".vscode/tasks.json",
    "attributes": ".gitattributes",
    "paragraph_separator": "a\u2029b",
    "zero_width": ".g\u200cit/config",
    "private_use": "a\ue000",
    "unassigned": "a\u0378",
    "device": "con",
    "device_with_space": "con .txt",
    "device_with_spaces": "a/COM1  .safetensors",
    "device_superscript_alone": "COM¹",
    "device_superscript_with_space": "lpt³ .txt",
    "device_with_suffix": "NUL.safetensors",
    "device_in_folder": "a/COM1/b",
    "device_superscript": "lpt¹.txt",
    "trailing_dot": "a.",
    "trailing_space": "a ",
    "leading_space": " a",
    "wildcard": "a*",
    "long_segment": "é" * 128,
    "long_path": "a/" * 600 + "b",
    "surrogate": "a\udc80",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_path_that_could_leave_its_folder_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath) as caught:
        check_paths([path])
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(
    "paths",
    [
        ("a.safetensors", "A.SAFETENSORS"),
        ("é.json", "e\u0301.json"),
        ("STRASSE.json", "straße.json"),
        ("a\u0345\u0301.json", "a\u0301\u03b9.json"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/b", "A/B/c"),
    ],
)
def test_paths_that_collide_on_some_system_are_refused(paths: tuple[str, str]) -> None:
    with pytest.raises(UnsafePath, match="cannot store") as caught:
        check_paths(paths)
    assert all(repr(path) in caught.value.detail for path in paths)


def test_path_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(UnsafePath, match="twice"):
        check_paths(["a/b", "a/b"])


ORDINARY = (
    "noir.safetensors",
    "README.md",
    "samples/grid 1.png",
    "samples/grid 2.png",
    "日本語.json",
    "a.gitattributes",
    "console.txt",
    "com10.txt",
    "noir~1.png",
)


def test_ordinary_paths_pass() -> None:
    check_paths(ORDINARY)


@pytest.mark.parametrize("path", ORDINARY)
def test_paths_that_pass_are_the_same_on_windows(path: str) -> None:
    found = PureWindowsPath("C:/loras", path)
    assert found.relative_to("C:/loras").as_posix() == path
    assert not found.is_reserved()


@pytest.mark.parametrize("name", ["con", "NUL", "aux.v2", "com1", "lpt9.x", "con_", "prn"])
def test_folders_of_adapters_are_not_devices_on_windows(name: str) -> None:
    assert not PureWindowsPath("C:/cache", safe_segment(name)).is_reserved()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("studio/noir", Reference("studio", "noir")),
        ("studio/noir@v3", Reference("studio", "noir", "v3")),
        ("a.b/c_d-e@main", Reference("a.b", "c_d-e", "main")),
        (f"o/n@{REVISION}", Reference("o", "n", REVISION)),
        ("o/n@refs/pr/1", Reference("o", "n", "refs/pr/1")),
    ],
)
def test_reference_is_read(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        "noir", "/noir", "studio/", "a/b/c", "a b/c", "../etc", "a/..", "-a/b", "a/b-", "a/b--c",
        "a/b@", "a/b@v 3", "a/b@x?y", "a/b@x#y", "a/b@x\n", "a/" + "b" * 97, "a/b\n", "https://x/y",
    ],
)  # fmt: skip
def test_text_that_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        Reference.parse(text)


def test_rev_is_quoted_in_the_address() -> None:
    reference = Reference.parse("o/n@refs/pr/1%2e")
    assert reference.version_path == "adapters/o/n/versions/refs%2Fpr%2F1%252e"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("HTTPS://Hub.Example:443", "https://hub.example"),
        ("http://[::1]:80/x/", "http://[::1]/x"),
        (" https://hub/lorary ", "https://hub/lorary"),
    ],
)
def test_endpoint_has_one_form(text: str, expected: str) -> None:
    assert check_endpoint(text) == expected


@pytest.mark.parametrize(
    "text",
    ["hub.example", "ftp://hub", "http://", "http://a:b@hub", "http://h?x=1", "http://h#x",
     "http://h:port", "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_endpoint_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid):
        check_endpoint(text)


@pytest.mark.parametrize(
    "name", ["con", "NUL", "aux.v2", "com1", "lpt9", "prn.a.b", "con_", "con__"]
)
def test_names_of_devices_never_become_folders(name: str) -> None:
    stem, _, rest = name.partition(".")
    assert safe_segment(name) == f"{stem}_{'.' if rest else ''}{rest}"


def test_names_of_folders_stay_apart() -> None:
    names = ["con", "con_", "con__", "con.a", "con_.a", "console", "con-a", "noir_", "com", "lpt10"]
    assert len({safe_segment(name) for name in names}) == len(names)
    assert [safe_segment(name) for name in names[5:]] == names[5:]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("09c647d58", "A hash of a file has 8, 10, 12 or 64 hex digits, not 9."),
        ("09C647D5" * 9, "A hash of a file has 8, 10, 12 or 64 hex digits, not 72."),
        ("09c647d5", "This looks like a hash. Only lorary find and lorary pull take hashes."),
        ("linocut", "To search for it: lorary search linocut"),
        ("linocut@v2", "To search for it: lorary search linocut"),
        ("film noir", "A name has up to 96 letters"),
        ("a/b/c", "A name has up to 96 letters"),
    ],
)
def test_what_is_no_reference_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        Reference.parse(text)
    assert f"“{text}” is not owner/name" in caught.value.detail
    assert advice in caught.value.detail


def test_a_folder_is_named_without_dots_unless_links_give_them_a_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "link").symlink_to(deep)
    monkeypatch.chdir(tmp_path)
    assert absolute("a/../loras") == tmp_path / "loras"
    assert absolute("link") == tmp_path / "link"
    assert absolute("link/../loras") == tmp_path / "link" / ".." / "loras"  # a/loras
