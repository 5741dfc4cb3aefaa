"""``/compare`` for two adapters: their weights, and who may see them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.adapters import services as adapters
from registry.jobs import worker_process
from registry.models import Adapter, Job, Version, VersionComparison
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.relatives import rewritten, write_original
from tests.pages.pictures import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db
RESTORED = "pair"
PATH = "/compare?a=ada/noir@v1&b=bob/film"
SCRIPTED = {"HX-Request": "true"}


def release(owner: User, name: str, data: bytes) -> Version:
    if there := Version.objects.filter(adapter__name=name).first():  # from a snapshot
        return there
    adapter = adapters.create(actor=owner, name=name, title=name.title(), kind="style")
    return catalogue.release(adapter, data)


def text(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def pair(ada: User, bob: User, tmp_path: Path) -> tuple[Version, Version]:
    """An adapter, and its opposite at half the strength."""
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_original(path, "sd1", "kohya", seed=1, modules=8)
    rewritten(path, other, lambda name, array: array * (-0.5 if "lora_up" in name else 1))
    return release(ada, "noir", path.read_bytes()), release(bob, "film", other.read_bytes())


def test_without_two_names_it_asks_for_them(client: Client, pair: tuple[Version, Version]) -> None:
    del pair
    page = text(client.get("/compare"))
    assert "Compare two adapters" in page
    page = text(client.get("/compare?a=ada/noir@v1"))
    assert 'name="a" value="ada/noir@v1"' in page
    assert not VersionComparison.objects.exists()


def test_an_empty_hub_has_the_form(client: Client, db: None) -> None:
    del db
    assert 'name="b"' in text(client.get("/compare"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bob/none", "bob/none"),
        ("bob/film@v7", "has no version"),
        ("nonsense", ""),
        ("<script>alert(1)</script>", ""),
        ("x" * 300, "at most 200 characters"),
    ],
)
def test_a_wrong_name_is_told_at_its_field(
    client: Client, pair: tuple[Version, Version], name: str, reason: str
) -> None:
    del pair
    answer = client.get("/compare", {"a": "ada/noir", "b": name})
    assert answer.status_code == 404
    assert 'id="id_b_error"' in text(answer)
    assert 'id="id_a_error"' not in text(answer)
    assert reason in text(answer)
    assert "<script>alert" not in text(answer)


def test_weights_are_compared_without_scripts(
    client: Client, pair: tuple[Version, Version]
) -> None:
    waiting = text(client.get(PATH))
    assert "Noir and Film side by side" in waiting
    assert "The comparison is queued or running" in waiting
    assert '<meta http-equiv="refresh" content="3">' in waiting
    worker_process.drain("checks")
    page = text(client.get(PATH))
    assert "Cosine -1.00. Opposite changes: one undoes a part of the other." in page
    assert "The file on the right is 0.50 times as strong as the file on the left." in page
    assert '<code>down_blocks.0</code></th><td class="num">-1.00</td>' in page
    assert "http-equiv" not in page
    assert "Both headers have the same metadata." in page
    assert "film@v1 has no pictures to compare: it has not been rendered yet." in page


def test_a_script_gets_the_panel_until_it_is_ready(
    client: Client, pair: tuple[Version, Version]
) -> None:
    del pair
    panel = text(client.get(PATH, headers=SCRIPTED))
    polled = 'data-hx-get="/compare?a=ada/noir@v1&amp;b=bob/film@v1" data-hx-trigger="every 1s"'
    assert polled in panel
    assert "<html" not in panel
    worker_process.drain("checks")
    panel = text(client.get(PATH, headers=SCRIPTED))
    assert "Cosine -1.00" in panel
    assert "hx-trigger" not in panel


def test_pictures_of_two_adapters_stand_in_pairs(
    client: Client, pair: tuple[Version, Version]
) -> None:
    for version in pair:
        render(version, "ready", 20)
    page = text(client.get(PATH))
    assert page.count('<figure class="print">') == 10
    assert "noir@v1: " in page


def test_other_base_models_compare_without_weights(client: Client, ada: User) -> None:
    release(ada, "noir", kohya(DENOISERS["sd1", "diffusers"]))
    release(ada, "film", kohya(DENOISERS["sdxl", "sgm"]))
    page = text(client.get("/compare?a=ada/noir&b=ada/film"))
    assert "These weights can’t be compared. ada/noir@v1 is for Stable Diffusion 1.x" in page
    assert "Facts" in page
    assert not Job.objects.filter(task="compare_versions").exists()


def test_states_that_end_without_a_result_say_why(
    client: Client, pair: tuple[Version, Version]
) -> None:
    del pair
    client.get(PATH)
    VersionComparison.objects.update(state="refused", reason="The module “x” is LoHa.")
    assert "can’t be compared. The module “x” is LoHa." in text(client.get(PATH))
    VersionComparison.objects.update(state="failed", reason="It took too long.")
    page = text(client.get(PATH))
    assert "The comparison failed. It took too long." in page
    assert "Open this page again in ten minutes to try again." in page
    VersionComparison.objects.update(used_at=timezone.now() - timedelta(minutes=10))
    assert "The comparison is queued or running" in text(client.get(PATH))


def test_limits_are_told_in_place_of_the_weights(
    client: Client, pair: tuple[Version, Version], own_settings: Callable[..., None]
) -> None:
    del pair
    own_settings(derived_per_hour=0)
    page = text(client.get(PATH))
    assert "This hub does not compare weights." in page
    assert "Facts" in page


def test_private_adapters_do_not_leak(
    client: Client, bob: User, pair: tuple[Version, Version]
) -> None:
    """Also where the comparison is there already, and in a script's part of the page."""
    client.get(PATH)
    worker_process.drain("checks")
    Adapter.objects.filter(pk=pair[1].adapter_id).update(visibility="private")
    for headers in ({}, SCRIPTED):
        hidden = client.get(PATH, headers=headers)
        absent = client.get(PATH.replace("film", "none"), headers=headers)
        assert hidden.status_code == absent.status_code == 404
        assert text(hidden) == text(absent).replace("none", "film")
    client.force_login(bob)
    assert "Cosine -1.00" in text(client.get(PATH))


def test_weights_of_a_gated_adapter_are_for_those_who_may_download_them(
    client: Client, bob: User, pair: tuple[Version, Version]
) -> None:
    Adapter.objects.filter(pk=pair[1].adapter_id).update(access="manual")
    page = text(client.get(PATH))
    assert "is gated" in page
    assert "Facts" in page
    assert not VersionComparison.objects.exists()
    client.force_login(bob)
    assert "The comparison is queued or running" in text(client.get(PATH))


def test_relatives_and_versions_lead_to_the_comparison(
    client: Client, ada: User, pair: tuple[Version, Version]
) -> None:
    page = text(client.get("/ada/noir?tab=files"))
    assert 'href="/compare?a=ada/noir@v1&amp;b=bob/film@v1"' in page
    assert "/compare?a=ada/noir@v1" in text(client.get("/ada/noir?tab=versions"))
    catalogue.release(pair[0].adapter, kohya(DENOISERS["sd1", "diffusers"]))
    versions = text(client.get("/ada/noir?tab=versions"))
    assert 'href="/compare?a=ada/noir@v1&amp;b=ada/noir@v2"' in versions


def test_the_number_of_queries_is_small(
    client: Client,
    pair: tuple[Version, Version],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for version in pair:
        render(version, "ready", 20)
    client.get(PATH)
    worker_process.drain("checks")
    with django_assert_max_num_queries(18):
        client.get(PATH)
