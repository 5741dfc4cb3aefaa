"""The man page that the wheel installs."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lorary.cli import app
from tests.client.test_docs import options
from tools.man_page import PAGE, page


def test_it_is_that_of_the_code() -> None:
    assert page() == PAGE.read_text("utf-8"), "run `make man`"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_it_names_a_command_with_its_options_and_example(name: str) -> None:
    section = (
        page().partition(f"\n.SS lorary {name} ")[2].partition("\n.SS ")[0].replace("\\-", "-")
    )
    assert section
    assert {option for option in options(name) if option not in section} == set()
    assert app.load(name).example.splitlines()[0].replace("\\", "\\e") in section


def test_man_shows_it_without_warnings() -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man and groff are not installed")
    command = ["man", "--warnings=w,!break", "-l", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert "EXIT CODES" in done.stdout


def test_a_value_that_may_be_left_out_is_in_brackets() -> None:
    assert "\n.B \\-\\-token [TOKEN]\n" in page()
