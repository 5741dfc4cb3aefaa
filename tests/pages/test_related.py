"""Similar adapters and those that are used together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from previews.models import Sample
from registry.adapters import services as adapters
from registry.models import Adapter, Blob
from tests import catalogue
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User, Version

pytestmark = pytest.mark.django_db


def titles(client: Client, heading: str, path: str = "/ada/noir/related?part=1") -> list[str]:
    """The titles of the cards below a heading."""
    page = client.get(path).content.decode()
    part = page.partition(f">{heading}</h2>")[2].partition("</section>")[0]
    return [text.strip() for text in re.findall(r"<h3[^>]*>.*?<a[^>]*>(.*?)</a>", part)]


def picture_with(version: Version, author: User, *others: Version) -> Sample:
    """A picture in the gallery of a version that names the weights of others."""
    digests = [one.files[0].sha256 for one in others]
    return Sample.objects.create(
        version=version, author=author, state="ready", width=8, height=8,
        blob=Blob.objects.get_or_create(sha256="5" * 64, defaults={"size_bytes": 1})[0],
        facts={"resources": [
            {"name": "x", "kind": "lora", "hashes": [one], "sha256": one} for one in digests
        ]},
    )  # fmt: skip


def test_adapters_with_more_common_tags_come_first(
    client: Client, noir: Adapter, ada: User, published: Callable[..., Adapter]
) -> None:
    published(ada, "one", title="One", tags=["film"])
    published(ada, "both", title="Both", tags=["film", "dark"])
    published(ada, "none", title="None", tags=["sun"])
    published(ada, "pose", title="Another kind", tags=["sun"], kind="pose")
    published(ada, "hidden", title="Hidden", tags=["film", "dark"], visibility="private")
    assert titles(client, "Similar adapters") == ["Both", "One", "None"]


def test_another_base_model_is_not_similar(
    client: Client, noir: Adapter, ada: User, published: Callable[..., Adapter]
) -> None:
    other = published(ada, "both", title="Both", tags=["film", "dark"])
    Adapter.objects.filter(pk=other.pk).update(family="flux1")
    assert titles(client, "Similar adapters") == []


def test_without_tags_others_of_the_kind_are_similar(
    client: Client, noir: Adapter, ada: User, published: Callable[..., Adapter]
) -> None:
    noir.tags.clear()
    published(ada, "one", title="One", kind=noir.kind)
    assert titles(client, "Similar adapters") == ["One"]


def test_adapters_in_pictures_of_the_gallery_are_companions(
    client: Client, noir: Adapter, v1: Version, ada: User, published: Callable[..., Adapter]
) -> None:
    ink = adapters.create(actor=ada, name="ink", title="Ink")
    published(ada, "copy", title="Copy of the same file")
    picture_with(v1, ada, v1, catalogue.release(ink, lora(8), path="ink.safetensors"))
    assert titles(client, "Used together") == ["Ink"]
    assert "Ink" not in titles(client, "Similar adapters")
    Adapter.objects.filter(pk=ink.pk).update(visibility="private")
    assert titles(client, "Used together") == []


def test_the_page_loads_them_later_and_links_to_them(client: Client, noir: Adapter) -> None:
    page = client.get("/ada/noir").content.decode()
    assert 'data-hx-get="/ada/noir/related?part=1"' in page
    assert 'href="/ada/noir/related"' in page
    whole = client.get("/ada/noir/related").content.decode()
    assert "Similar to Noir" in whole
    assert "There is no similar adapter yet." in whole


def test_its_queries_are_few(
    client: Client,
    noir: Adapter,
    v1: Version,
    ada: User,
    published: Callable[..., Adapter],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(3):
        published(ada, f"one{number}", tags=["film"])
    with django_assert_max_num_queries(14):
        client.get("/ada/noir/related?part=1")
