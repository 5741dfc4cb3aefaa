"""The look report on the page of an adapter, on its own page, and between two versions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from previews import worker_bases
from previews.models import Report, ReportPicture
from previews.render import load_bases
from registry.models import Adapter, Blob, Version
from tests import catalogue
from tests.pages.files import lora
from tests.pages.pictures import render

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

FIGURES = {"effect": 1.2, "consistency": 0.91, "leak": 0.3, "drift": 0.05, "subject_kept": 0.87}


def report(version: Version, **columns: Any) -> Report:
    """Give a version a report with a pair of pictures of each part."""
    values = FIGURES | columns.pop("figures", {})
    figures = {name: {"value": value, "error": 0.02} for name, value in values.items()}
    columns = {"state": "ready", "figures": {**figures, "method": 1}} | columns
    row = Report.objects.create(
        version=version, base="miniature", recipe={"version": 3}, recipe_digest="b" * 64,
        strength=0.9, encoder="small", encoder_digest="a" * 64, **columns,
    )  # fmt: skip
    blob, _made = Blob.objects.get_or_create(sha256="1" * 64, defaults={"size_bytes": 1})
    for position, part in enumerate(("look", "look", "plain", "plain", "unrelated", "unrelated")):
        ReportPicture.objects.create(
            report=row, blob=blob, part=part, position=position, prompt_index=0,
            prompt=f"a {part} cat", seed=7, strength=0.9 * (position % 2), width=128, height=128,
        )  # fmt: skip
    return row


def page_of(client: Client, path: str = "/ada/noir") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_figures_are_bars_of_which_more_is_better(client: Client, v1: Version) -> None:
    report(v1)
    page = page_of(client)
    for title, share in (
        ("Keeps the subject", 87),
        ("Same look on every subject", 91),
        ("Needs its trigger words", 70),
        ("Leaves other prompts alone", 95),
    ):
        assert title in page
        assert f'<progress max="100" value="{share}"' in page
        assert f"{share} of 100" in page
    assert "Without the words a part of the look remains." in page
    assert "Measured at strength 0.9" in page
    assert "recipe 3" in page
    assert "±2" in page
    assert "/media/reports/" not in page


def test_the_pictures_are_a_part_of_their_own(client: Client, v1: Version) -> None:
    row = report(v1)
    first = row.pictures.all()[0]
    whole = page_of(client, "/ada/noir/report?v=v1")
    part = page_of(client, "/ada/noir/report?v=v1&part=1")
    assert "<h1>" in whole
    assert "<h1>" not in part
    for page in (whole, part):
        assert page.count("/media/reports/") == 6
        assert f'src="/media/reports/{first.pk}.png"' in page
        assert 'alt="a look cat, without the adapter"' in page
    assert 'value="87"' in whole


def test_a_blurred_adapter_shows_no_pictures(client: Client, noir: Adapter, v1: Version) -> None:
    report(v1)
    Adapter.objects.filter(pk=noir.pk).update(maturity="explicit")
    page = page_of(client, "/ada/noir/report")
    assert "/media/reports/" not in page
    assert "The pictures are rated explicit" in page
    assert "/media/reports/" in page_of(client, "/ada/noir/report?show=explicit")


def test_what_is_under_way_or_failed_is_said(client: Client, v1: Version) -> None:
    row = report(v1, state="queued")
    Report.objects.update(figures={})
    assert "The look is measured when no other pictures are waiting." in page_of(client)
    Report.objects.filter(pk=row.pk).update(state="failed", reason="No encoder.")
    page = page_of(client)
    assert "The look could not be measured. No encoder." in page
    assert "<progress max" not in page


def test_without_previews_nothing_is_said(client: Client, v1: Version) -> None:
    render(v1, "queued")
    assert "Look report" not in page_of(client)
    assert client.get("/ada/noir/report").status_code == 404


def test_without_a_renderer_or_encoder_the_page_says_why(
    client: Client, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(v1, "ready", 20)
    base = load_bases().get("miniature")
    for found, says in (
        (None, "This hub has no renderer for"),
        (dataclasses.replace(base, encoder=""), "Looks are not measured for this base model"),
        (base, "The look is measured when no other pictures are waiting."),
    ):
        monkeypatch.setattr(worker_bases, "base_for", lambda _family, found=found: found)
        page = page_of(client)
        assert says in page
        assert "Look report" in page


def test_two_versions_are_compared_in_words(client: Client, noir: Adapter, v1: Version) -> None:
    v2 = catalogue.release(noir, lora(8), path="noir.safetensors")
    report(v1)
    path = "/compare?a=ada/noir@v1&b=ada/noir@v2"
    assert "<h2>Look</h2>" not in page_of(client, path)
    second = report(v2, figures={"subject_kept": 0.6, "drift": 0.3, "leak": 0.29})
    page = page_of(client, path)
    assert "v1 keeps the subject better than v2: 87 and 60 of 100." in page
    assert "v1 changes other prompts less than v2: 95 and 70 of 100." in page
    assert "trigger words than" not in page
    Report.objects.filter(pk=second.pk).update(figures=Report.objects.get(version=v1).figures)
    assert "Their looks show no clear difference." in page_of(client, path)
    Report.objects.filter(pk=second.pk).update(recipe_digest="c" * 64)
    assert "cannot be compared" in page_of(client, path)
