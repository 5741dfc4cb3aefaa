"""What search engines find: ``/robots.txt``, the sitemap, addresses that pages repeat."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from django.utils import timezone

from hub.http.middleware import FOR_AN_HOUR
from hub.pages.catalogue import crawlers
from registry.adapters import services as adapters
from registry.models import Adapter, Namespace
from registry.packs import services
from tests import packs

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User, Version

pytestmark = pytest.mark.django_db
ROOT = "http://testserver"
XML = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def places(client: Client, path: str) -> list[str]:
    """Return the addresses in a sitemap or its index."""
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/xml"
    assert response.headers["Cache-Control"] == FOR_AN_HOUR
    return [str(one.text) for one in ET.fromstring(response.content).iter(f"{XML}loc")]


def everything(client: Client) -> set[str]:
    """Return the paths in all files of the sitemap."""
    files = places(client, "/sitemap.xml")
    found = [one for file in files for one in places(client, file.removeprefix(ROOT))]
    assert len(found) == len(set(found))
    return {one.removeprefix(ROOT) for one in found}


def test_the_sitemap_has_public_adapters_and_their_owners(
    client: Client, ada: User, bob: User, noir: Adapter, v1: Version
) -> None:
    adapters.create(actor=bob, name="unpublished", title="")
    assert everything(client) == {"/ada/noir", "/ada"}
    assert (
        "<lastmod>" + noir.updated_at.isoformat(timespec="seconds")
        in client.get(f"/sitemap.xml?adapters={noir.pk // crawlers.IDS_PER_FILE}").text
    )
    client.force_login(ada)
    assert everything(client) == {"/ada/noir", "/ada"}


def test_the_sitemap_has_public_packs(client: Client, ada: User, v1: Version) -> None:
    dusk = packs.published(ada, v1.adapter)
    assert everything(client) == {"/ada/noir", "/packs/ada/dusk", "/ada"}
    services.describe(actor=ada, pack=dusk.pack, visibility="unlisted")
    assert everything(client) == {"/ada/noir", "/ada"}


@pytest.mark.parametrize(
    "hidden",
    [
        {"visibility": "unlisted"}, {"visibility": "private"}, {"blocked_reason": "Rights"},
        {"withdrawn_reason": "Rights"},
    ],
)  # fmt: skip
def test_what_strangers_cannot_find_is_not_in_the_sitemap(
    client: Client, ada: User, noir: Adapter, v1: Version, hidden: dict[str, str]
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(**hidden)
    client.force_login(ada)
    assert everything(client) == set()


def test_each_file_takes_one_query_over_its_own_ids(
    client: Client,
    ada: User,
    v1: Version,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    monkeypatch.setattr(crawlers, "IDS_PER_FILE", 2)
    for number in range(5):
        other = adapters.create(actor=ada, name=f"other-{number}", title="")
        Adapter.objects.filter(pk=other.pk).update(latest_version=v1)
    files = places(client, "/sitemap.xml")
    last = Adapter.objects.latest("pk").pk // 2
    owners = Namespace.objects.latest("pk").pk // 2
    assert len(files) == last + 1 + owners + 1
    assert len(everything(client)) == 6 + 1
    for name, number in (("adapters", last), ("owners", owners)):
        with django_assert_num_queries(1) as queries:
            assert len(places(client, f"/sitemap.xml?{name}={number}")) <= 2
        assert "OFFSET" not in queries.captured_queries[0]["sql"]


def test_files_that_do_not_exist_are_absent(client: Client) -> None:
    for query in (
        "adapters=",
        "adapters=x",
        "adapters=-1",
        f"adapters={10**9}",
        "adapters=00000000001",
        "pages=0",
        "a",
    ):
        assert client.get(f"/sitemap.xml?{query}").status_code == 404, query
    assert places(client, "/sitemap.xml?adapters=99999") == []


def test_robots_may_read_pages_and_pictures(client: Client) -> None:
    text = client.get("/robots.txt").text
    assert f"Sitemap: {ROOT}/sitemap.xml" in text
    forbidden = re.findall(r"Disallow: (.+)", text)
    assert {"/api/", "/browse?", "/signin$", "/signin?", "/*/resolve/"} <= set(forbidden)
    for path in (
        "/ada",
        "/ada/noir",
        "/browse",
        "/media/images/1.png",
        "/static/a.css",
        "/tryst/x",
    ):
        assert not any(path.startswith(one) for one in forbidden), path


def test_browsers_find_the_icon_by_its_usual_name(client: Client) -> None:
    found = client.get("/favicon.ico")
    assert found.status_code == 302
    assert found["Location"].startswith("/static/icon")
    assert found["Cache-Control"].startswith("public, max-age=3600")


def test_a_hub_can_ask_search_engines_to_stay_away(
    client: Client, noir: Adapter, v1: Version, own_settings: Callable[..., None]
) -> None:
    noindex = '<meta name="robots" content="noindex">'
    for path in ("/", "/browse", "/ada/noir"):
        assert noindex not in client.get(path).text
    own_settings(search_engines=False)
    assert client.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"
    assert client.get("/sitemap.xml").status_code == 404
    for path in ("/", "/browse", "/ada/noir"):
        assert client.get(path).text.count(noindex) == 1


def test_an_unlisted_adapter_is_not_for_search_engines(
    client: Client, noir: Adapter, v1: Version
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(visibility="unlisted")
    assert client.get("/ada/noir").text.count('<meta name="robots" content="noindex">') == 1


PATHS = [
    ("/", "/"),
    ("/?x=1", "/"),
    ("/ada?x=1", "/ada"),
    ("/ADA", "/ada"),
    ("/browse?sort=downloads", "/browse"),
    ("/browse?kind=style&sort=new&x=1", "/browse?kind=style"),
    ("/ada/noir?tab=files&v=v1", "/ada/noir"),
]


def test_pages_name_the_address_that_they_repeat(
    client: Client, noir: Adapter, v1: Version, subtests: pytest.Subtests
) -> None:
    for path, canonical in PATHS:
        with subtests.test(path=path, canonical=canonical):
            found = re.findall(r'<link rel="canonical" href="([^"]+)">', client.get(path).text)
            assert found == [ROOT + canonical]


def test_security_txt_names_the_contact_and_expires(
    client: Client, own_settings: Callable[..., None]
) -> None:
    place = "/.well-known/security.txt"
    assert client.get(place).status_code == 404
    for contact, line in (
        ("safe@hub.example", "mailto:safe@hub.example"),
        ("https://hub.example/report", "https://hub.example/report"),
    ):
        own_settings(security_contact=contact)
        answer = client.get(place)
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        fields = dict(row.split(": ", 1) for row in answer.content.decode().splitlines())
        assert fields["Contact"] == line
        assert fields["Canonical"] == f"http://testserver{place}"
        left = datetime.fromisoformat(fields["Expires"]) - timezone.now()
        assert timedelta(days=179) < left < timedelta(days=181)
