"""Permissions of known licences."""

from __future__ import annotations

import hashlib
import json

import pytest

from hub.pages.adapters.version_forms import LICENCES as OFFERED
from registry.adapters.licences import (
    CONDITIONS,
    LICENCES,
    NO,
    SILENT,
    YES,
    licence_of,
    permissions_of,
    sets_with,
)


@pytest.mark.parametrize(
    ("text", "commercial", "pictures", "changes"),
    [
        ("CC0-1.0", YES, YES, YES),
        ("cc-by-nc-4.0", NO, NO, YES),
        ("CC-BY-NC-ND-4.0", NO, NO, NO),
        (" creativeml-openrail-m ", CONDITIONS, CONDITIONS, CONDITIONS),
        ("flux-1-dev-non-commercial-license", NO, CONDITIONS, CONDITIONS),
        ("personal use only", NO, NO, SILENT),
    ],
)
def test_a_licence_is_known_by_its_id(
    text: str, commercial: str, pictures: str, changes: str
) -> None:
    licence = licence_of(text)
    assert licence is not None
    assert (licence.commercial, licence.pictures, licence.changes) == (
        commercial, pictures, changes,
    )  # fmt: skip


def test_other_texts_are_not_guessed() -> None:
    assert licence_of("ask me first") is None
    assert licence_of("") is None


@pytest.mark.parametrize(
    ("text", "permissions"),
    [
        ("CC0-1.0", "commercial+pictures+changes+no_credit"),
        (" MIT ", "commercial+pictures+changes"),
        ("openrail", "commercial+pictures+changes"), ("cc-by-nc-4.0", "changes"),
        ("flux-1-dev-non-commercial", "pictures+changes"), ("cc-by-nd-4.0", "commercial+pictures"),
        ("personal use only", ""), ("ask me first", ""), ("", ""),
    ],
)  # fmt: skip
def test_conditions_count_as_permitted(text: str, permissions: str) -> None:
    assert permissions_of(text) == permissions


def test_sets_include_each_permission() -> None:
    assert sets_with(["no_credit"]) == ["commercial+pictures+changes+no_credit"]
    assert "changes" in sets_with(["changes"])
    assert "changes" not in sets_with(["changes", "commercial"])
    assert sets_with(["other"]) == []


def test_a_changed_table_has_a_migration_that_fills_permissions_again() -> None:
    """Write one like ``0030_fill_more_facets``, then the new digest here."""
    stored = json.dumps({key: permissions_of(key) for key in sorted(LICENCES)})
    assert hashlib.sha256(stored.encode()).hexdigest()[:12] == "a9d54c71cbba"


def test_every_licence_of_the_publish_form_is_known() -> None:
    assert all(licence_of(text) for text, _title in OFFERED if text)


def test_rows_are_complete() -> None:
    answers = {YES, NO, CONDITIONS, SILENT}
    for key, one in LICENCES.items():
        assert key == key.casefold()
        assert {one.commercial, one.pictures, one.changes, one.credit} <= answers
        assert one.url.startswith("https://") or key == "personal use only"
