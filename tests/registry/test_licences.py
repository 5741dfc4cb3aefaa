"""Permissions of known licences."""

from __future__ import annotations

import pytest

from hub.pages.adapters.version_forms import LICENCES as OFFERED
from registry.adapters.licences import CONDITIONS, LICENCES, NO, SILENT, YES, licence_of


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


def test_every_licence_of_the_publish_form_is_known() -> None:
    assert all(licence_of(text) for text, _title in OFFERED if text)


def test_rows_are_complete() -> None:
    answers = {YES, NO, CONDITIONS, SILENT}
    for key, one in LICENCES.items():
        assert key == key.casefold()
        assert {one.commercial, one.pictures, one.changes, one.credit} <= answers
        assert one.url.startswith("https://") or key == "personal use only"
