from __future__ import annotations

import pytest

from registry.errors import NameInvalid, PathInvalid
from registry.names import check_name, check_new_name, check_path, key_of


@pytest.mark.parametrize("name", ["noir", "a", "Noir_v2.1", "x-y", "A" * 96])
def test_a_name_by_the_hubs_grammar_is_kept(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A" * 97, "a b", "a/b", "a--b", "a..b", ".a", "a.", "-a", "a-", "repo.git", "ä", "a\n"],
)
def test_a_name_outside_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    ["Browse", "support", "security", "root", "hub", "mix", "pack", "packs", "Civitai", "SHA256"],
)
def test_a_new_namespace_takes_no_reserved_name(name: str) -> None:
    with pytest.raises(NameInvalid, match="is reserved on this hub"):
        check_new_name(name, is_namespace=True)
    assert check_new_name(name) == name


@pytest.mark.parametrize("name", ["con", "PRN", "aux.v2", "Nul", "com1", "com9.x", "LPT1", "lpt9"])
def test_nothing_new_is_called_as_a_device_of_windows(name: str) -> None:
    for is_namespace in (True, False):
        with pytest.raises(NameInvalid, match="is a device name on Windows; choose another name"):
            check_new_name(name, is_namespace=is_namespace)
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["console", "com", "com10", "nulls", "a.con", "lpt", "aux1"])
def test_a_name_that_only_begins_like_a_device_is_kept(name: str) -> None:
    assert check_new_name(name, is_namespace=True) == name
    assert check_path(f"{name}/x.txt") == f"{name}/x.txt"


def test_names_are_one_without_regard_to_case() -> None:
    assert key_of("NoIr") == key_of("noir")
    assert "\0" not in key_of("no\0ir")


@pytest.mark.parametrize("path", ["noir.safetensors", "samples/1.png", "Ünïcode.md", "a b.txt"])
def test_a_path_that_every_system_holds_is_kept(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "../evil.safetensors",
        "a/../../evil",
        "/etc/passwd",
        "a//b",
        "./a",
        "C:\\evil",
        "a\\b",
        "nul.safetensors",
        "con",
        "a\x00b",
        "a\u202eb",
        "trailing.",
        "trailing ",
        " leading",
        ".git/config",
        ".bashrc",
        "GIT~1/config",
        "con .txt",
        "COM¹.txt",
        "CONIN$",
        "conout$.txt",
        "a\u2028b",
        "x" * 256,
        "",
        "a/b/c/d/e/f/g/h/i",
        "lone\ud800surrogate",
    ],
)
def test_a_path_that_could_escape_or_break_is_refused(path: str) -> None:
    with pytest.raises(PathInvalid):
        check_path(path)


def test_a_path_is_kept_in_one_unicode_form() -> None:
    assert check_path("u\u0308.txt") == "\u00fc.txt"
