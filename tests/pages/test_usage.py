"""The page that tells how adapters are used from here."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from hub.pages.help import usage
from registry.models import Adapter, Version
from registry.names import DEMO_OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _demo_of_ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the examples be adapters of ada."""
    monkeypatch.setattr(usage, "DEMO_OWNER", "ada")


def commands(client: Client) -> list[str]:
    page = client.get("/help/use").content.decode()
    return [html.unescape(text) for text in re.findall(r'data-copy="([^"]*)"', page)]


def test_its_commands_name_this_hub_and_an_adapter_from_here(client: Client, noir: Adapter) -> None:
    found = commands(client)
    assert "lorary login --endpoint http://testserver" in found
    assert "lorary pull ada/noir" in found
    assert "lorary pull ada/noir@latest" in found
    assert "export HF_ENDPOINT=http://testserver" in found
    assert "<lora:noir:0.9> noir light" in found
    assert any(line.startswith("curl -fLOJ http://testserver/api/v1/") for line in found)
    assert 'href="/ada/noir"' in client.get("/help/use").content.decode()


def test_adapters_of_the_miniature_are_not_offered_for_comfyui(
    client: Client, noir: Adapter
) -> None:
    note = "It has no checkpoint for these tools"
    assert note not in client.get("/help/use").content.decode()
    Version.objects.filter(adapter=noir).update(family="miniature")
    assert note in client.get("/help/use").content.decode()


def test_where_the_hub_is_comes_before_what_needs_it(client: Client, noir: Adapter) -> None:
    found = commands(client)
    assert found.index("export LORARY_ENDPOINT=http://testserver") < found.index(
        "lorary pull ada/noir"
    )
    assert found.index("export LORARY_TOKEN=lor_…") < next(
        n for n, line in enumerate(found) if "$LORARY_TOKEN" in line
    )


def test_commands_for_windows_are_commands_and_only_where_they_differ(
    client: Client, noir: Adapter
) -> None:
    page = html.unescape(client.get("/help/use").content.decode()).replace("<wbr>", "")
    shown = re.findall(r'<div class="code powershell">\s*<code>(.*?)</code>', page)
    assert '$env:LORARY_ENDPOINT = "http://testserver"' in shown
    assert not any(text.startswith("{") for text in shown)
    assert not any("lorary login" in text for text in shown)


def test_its_address_is_the_one_that_people_type(
    client: Client, noir: Adapter, own_settings: Callable[..., None]
) -> None:
    own_settings(base_url="https://hub.example")
    page = client.get("/help/use").content.decode()
    assert "export LORARY_ENDPOINT=https://hub.example" in page
    assert "HF_ENDPOINT=https://hub.example" in page


@pytest.mark.parametrize("hidden", [{"visibility": "private"}, {"access": "gated"}])
def test_an_adapter_that_not_everybody_may_pull_is_no_example(
    client: Client, noir: Adapter, hidden: dict[str, str]
) -> None:
    Adapter.objects.update(**hidden)
    found = commands(client)
    assert "lorary pull owner/name" in found
    assert not any("ada/noir" in line for line in found)


def test_a_bare_hub_shows_the_form_of_its_commands(client: Client) -> None:
    assert "lorary pull owner/name@v1 --to ComfyUI/models/loras" in commands(client)


def test_whoever_is_signed_in_uploads_under_their_own_name(as_ada: Client) -> None:
    found = commands(as_ada)
    assert any(line.startswith("lorary push noir.safetensors --to ada/noir") for line in found)
    assert any("$H/adapters/ada/noir/versions" in line for line in found)


def test_its_queries_are_few(
    client: Client, noir: Adapter, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(5):
        client.get("/help/use")


@pytest.mark.parametrize(
    "path", ["/", "/browse", "/help/findings", "/help/anatomy", "/help/cli", "/help/sdk"]
)
def test_menu_and_foot_lead_to_it(client: Client, path: str) -> None:
    head, _main, foot = client.get(path).content.decode().partition("</header>")
    assert 'href="/help/use"' in head
    assert 'href="/help/use"' in foot.partition('<footer class="foot">')[2]


@pytest.mark.parametrize("path", ["/", "/browse", "/ada"])
def test_empty_shelves_lead_to_other_ways_to_upload(as_ada: Client, path: str) -> None:
    assert 'href="/help/use#upload"' in as_ada.get(path).content.decode()


def test_the_uses_of_an_adapter_end_with_help(client: Client, noir: Adapter) -> None:
    page = client.get("/ada/noir").content.decode()
    uses = page.partition('id="tools"')[2].partition("</section>")[0]
    assert uses.rindex("<a ") == uses.index('<a href="/help/use"')


def test_commands_for_windows_stand_beside_the_others(client: Client, noir: Adapter) -> None:
    found = commands(client)
    for posix, powershell in (
        ("export HF_ENDPOINT=http://testserver", '$env:HF_ENDPOINT = "http://testserver"'),
        ("export LORARY_TOKEN=lor_…", '$env:LORARY_TOKEN = "lor_…"'),
        (
            "lorary pull ada/noir@v1 --to stable-diffusion-webui/models/Lora",
            "lorary pull ada/noir@v1 --to stable-diffusion-webui\\models\\Lora",
        ),
    ):
        assert found[found.index(posix) + 1] == powershell


def test_an_adapter_of_a_user_is_no_example(
    client: Client, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "DEMO_OWNER", DEMO_OWNER)
    found = commands(client)
    assert "lorary pull owner/name" in found
    assert not any("ada/noir" in line for line in found)


def test_help_leads_to_it(client: Client) -> None:
    assert client.get("/help").headers["Location"] == "/help/use"
