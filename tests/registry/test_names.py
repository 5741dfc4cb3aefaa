from __future__ import annotations

import pytest

from registry.errors import NameInvalid, PathInvalid
from registry.names import check_name, check_path, key_of


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


def test_a_namespace_cannot_take_a_page_of_the_site() -> None:
    with pytest.raises(NameInvalid):
        check_name("Browse", is_namespace=True)
    assert check_name("browse") == "browse"


def test_names_are_one_without_regard_to_case() -> None:
    assert key_of("NoIr") == key_of("noir")


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
