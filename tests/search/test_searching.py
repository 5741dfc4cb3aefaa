"""What searches find, in which order, page by page, on pages and in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from registry.adapters import services as adapters
from registry.adapters.selectors import Query, search
from registry.errors import CursorInvalid
from registry.models import Adapter
from registry.search import index, ranking
from registry.search.syntax import parse
from tests import catalogue
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


def names(q: str, user: User | None = None, **filters: Any) -> list[str]:
    return [adapter.name for adapter in search(user, Query(q=q, **filters)).results]


@pytest.fixture
def several(published: Callable[..., Adapter], bob: User) -> None:
    published(
        "film-noir", "Film Noir", tags=["shadow play"], summary="Grey tones & hard light",
        trigger_words=["nr style"], family="sdxl", lineage="Illustrious", rank=16,
        size_bytes=80_000_000,
    )  # fmt: skip
    published(
        "ink", "Ink wash", tags=["noir", "film"], trigger_words=["inkwsh"], family="sd1", rank=64,
        size_bytes=400_000_000, card="Made for **watercolour** paper.",
    )  # fmt: skip
    published(
        "thinker", "The thinker", kind="pose", owner=bob, family="flux1", rank=4, maturity="mature",
        trigger_words=["gl3nstyl", "myx_style"],
    )  # fmt: skip


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("noir", ["film-noir", "ink"]),
        ("ink", ["ink"]),  # not in “thinker”
        ("film noir", ["film-noir", "ink"]),
        ('"film noir"', ["film-noir"]),
        ("filmnoir", ["film-noir"]),
        ("noir -wash", ["film-noir"]),
        ('noir -"ink wash"', ["film-noir"]),
        ("-noir", ["thinker"]),
        ("thin", ["thinker"]),
        ("gray", ["film-noir"]),
        ("watercolor", ["ink"]),
        ("tag:noir tag:film", ["ink"]),
        ("rating:mature", ["thinker"]),
        ("rating:<mature", ["ink", "film-noir"]),
        ("noir rating:general", ["film-noir", "ink"]),
        ("noir rating:>general", []),
        ("-rating:<=suggestive", ["thinker"]),
        ("rating:>explicit", []),
        ("rating:<general", []),
        ("watercolou", ["ink"]),
        ("owner:BOB", ["thinker"]),
        ("owner:nobody", []),
        ("noir -owner:ada", []),
        ("tag:noir", ["ink"]),
        ('tag:"shadow play"', ["film-noir"]),
        ("trigger:nr", ["film-noir"]),
        ("base:sdxl", ["film-noir"]),
        ('base:"stable diffusion xl"', ["film-noir"]),
        ("base:illustrious noir", ["film-noir"]),
        ("family:sdxl", ["film-noir"]),
        ("-family:sdxl noir", ["ink"]),
        ("kind:pose", ["thinker"]),
        ("kind:style wash", ["ink"]),
        ("-kind:style", ["thinker"]),
        ("sd1.5", ["ink"]),
        ("flux", ["thinker"]),
        ("rank:16", ["film-noir"]),
        ("rank:8..32 noir", ["film-noir"]),
        ("noir -rank:16", ["ink"]),
        ("size:<100mb noir", ["film-noir"]),
        ("size:>100mb", ["ink"]),
        ("shadow-play", ["film-noir"]),
        ("nothing-of-the-kind", []),
        ("!?", []),
        ("pose", ["thinker"]),
    ],
)  # fmt: skip
def test_queries(q: str, found: list[str]) -> None:
    assert names(q) == found


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("q", "corrected", "found"),
    [
        ("wtaercolour", "watercolor", []),  # only a card has it, and cards are not spelt
        ("thniker", "thinker", ["thinker"]),
        ("shaddow", "shadow", ["film-noir"]),
        ("nior shadow", "noir shadow", ["film-noir"]),
        ('"fim noir"', '"fim noir"', []),  # three letters are too few
        ('"film nor"', '"film nor"', []),
        ("Ilustrious", "illustrious", ["film-noir"]),
        ("tag:shadwo", "tag:shadow", ["film-noir"]),
        ("inkwhs", "inkwsh", ["ink"]),
        ("gln3styl", "gl3nstyl", ["thinker"]),  # words with digits are spelt as well
        ("trigger:myxstlye", "trigger:myxstyle", ["thinker"]),
        ("sd16", "", []),
        ("qqqqqq", "", []),
    ],
)
def test_misspelt_words_are_corrected(q: str, corrected: str, found: list[str]) -> None:
    page = search(None, Query(q=q))
    assert [adapter.name for adapter in page.results] == found
    assert page.corrected == (corrected if found else "")
    assert page.matches is not None
    assert page.matches.total == len(found)


def test_names_of_files_and_hashes_find_the_version_that_has_them(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    first = catalogue.release(noir, LORA, path="my-style-v1.safetensors")
    catalogue.release(noir, OTHER, path="My Style (v2).safetensors")
    for q, version in (
        ("my-style-v1.safetensors", "v1"),
        ("MY-STYLE-V1.safetensors", "v1"),
        ("mystylev1", None),
        ("my-style-v1", None),
        ("my-style", None),
        ("My Style (v2).safetensors", None),
        ("my_style_v2", None),
        ("noir my-style-v1.safetensors", "v1"),
        (first.files[0].sha256, "v1"),
        (first.files[0].sha256[:10], "v1"),
    ):
        page = search(None, Query(q=q))
        assert [one.name for one in page.results] == ["noir"], q
        assert page.versions.get(noir.pk) == version, q
    for q in ("my-style-v3.safetensors", "my-sty.safetensors"):
        assert search(None, Query(q=q)).results == []


def test_a_result_opens_the_version_that_was_searched_for(client: Client, ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    first = catalogue.release(noir, LORA, path="my-style-v1.safetensors")
    second = catalogue.release(noir, OTHER, path="my-style-v2.safetensors")
    for q in (first.files[0].sha256, "my-style-v1.safetensors"):
        page = client.get("/browse", {"q": q}).content.decode()
        assert 'href="/ada/noir?v=v1"' in page, q
        assert "found in v1" in page
    page = client.get("/browse", {"q": second.files[0].sha256}).content.decode()
    assert 'href="/ada/noir"' in page
    assert "found in" not in page


@pytest.mark.postgresql
@pytest.mark.parametrize("sample", [100, 6, 3, 1])
def test_the_newest_matches_are_found_however_frequent_a_word_is(
    sample: int, published: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SAMPLE", sample)
    made = [published(f"noir-{n}", family="sd1" if n % 2 else "sdxl") for n in range(8)]
    published("other", "Zebra")
    expected = [one.pk for one in reversed(made) if one.family == "sd1"]
    rows = index.among(Adapter.objects.filter(family="sd1"))
    for limit in (1, 2, 3, 9):
        assert index.ids(rows, index.expression(parse("noir").wanted), limit) == expected[:limit]
    assert index.ids(rows, index.expression(parse("zebra").wanted), 9) == []


def test_a_correction_tells_nothing_of_hidden_adapters(
    published: Callable[..., Adapter], ada: User
) -> None:
    published("secret", "Zanzibar", visibility="private")
    assert search(None, Query(q="zanzibra")).corrected == ""
    assert search(None, Query(q="zanzibar")).results == []
    assert search(ada, Query(q="zanzibra")).corrected == "zanzibar"


def test_relevance_goes_by_the_place_of_the_words(published: Callable[..., Adapter]) -> None:
    published("e", "Fifth", card="zebra")
    published("d", "Fourth", summary="A zebra")
    published("c", "Third", tags=["zebra"])
    published("b", "Second", trigger_words=["zebra"])
    published("a", "Some zebra of mine")
    published("f", "Zebra")
    published("zebras", "More of them")
    assert names("zebra") == ["f", "a", "zebras", "b", "c", "d", "e"]


def test_downloads_and_dates_decide_among_equals(
    published: Callable[..., Adapter], ada: User
) -> None:
    for name in ("old", "new", "loved"):
        published(name, f"Zebra {name}")
    Adapter.objects.filter(name="old").update(published_at=timezone.now() - timedelta(days=700))
    Adapter.objects.filter(name="loved").update(downloads=5_000)
    assert names("zebra") == ["loved", "new", "old"]
    assert names("zebra", sort="downloads")[0] == "loved"
    assert names("zebra", sort="new") == ["loved", "new", "old"]
    adapters.describe(actor=ada, adapter=Adapter.objects.get(name="old"), summary="x")
    assert names("zebra", sort="updated")[0] == "old"


@pytest.mark.parametrize("sort", ["", "relevance", "new", "updated", "downloads"])
@pytest.mark.parametrize("most", [1_000, 6])
def test_pages_follow_without_gaps(
    published: Callable[..., Adapter],
    monkeypatch: pytest.MonkeyPatch,
    own_settings: Callable[..., None],
    sort: str,
    most: int,
) -> None:
    own_settings(max_counted=most)
    monkeypatch.setattr(ranking, "MAX_RANKED", most - 1)
    made = [published(f"z{n}", "Zebra", summary="zebra" if n % 2 else "") for n in range(9)]
    Adapter.objects.filter(pk__in=[one.pk for one in made[:4]]).update(downloads=3)
    seen, cursor = [], ""
    for _page in range(9):
        page = search(None, Query(q="zebra", sort=sort), cursor=cursor, limit=2)
        seen += [adapter.name for adapter in page.results]
        cursor = page.next_cursor
        if not cursor:
            break
    assert len(seen) == len(set(seen))
    is_cut = most == 6 and sort in ("", "relevance")
    assert len(seen) == (5 if is_cut else 9)
    assert page.matches is not None
    assert page.matches.total == min(9, most + 1)


@pytest.mark.parametrize("cursor", ["nonsense", "WyJ4Il0", "WyJyZWxldmFuY2UiLCAxXQ", "bnVsbA"])
def test_a_foreign_cursor_is_refused(published: Callable[..., Adapter], cursor: str) -> None:
    published("zebra")
    with pytest.raises(CursorInvalid):
        search(None, Query(q="zebra"), cursor=cursor)


def test_snippets_show_the_words_and_are_escaped(published: Callable[..., Adapter]) -> None:
    one = published("one", "One", summary="A <b>Zebra</b> & zebras")
    two = published("two", "Two", summary="Plain", card="Long " * 100 + "then a *zebra* at last.")
    three = published("zebra", "Zebra", summary="No stripes")
    found = search(None, Query(q="zebra")).snippets
    assert found[one.pk] == ("A &lt;b&gt;<mark>Zebra</mark>&lt;/b&gt; &amp; <mark>zebras</mark>")
    assert found[two.pk].startswith("… ")
    assert found[two.pk].endswith("then a  <mark>zebra</mark>  at last.".replace("  ", " "))
    assert found[three.pk] == "No stripes"
    card = "| strength | look |\n| --- | --- |\n| 0.6 | zebra |"
    four = published("four", "Zebra four", summary="A summary", card=card)
    assert search(None, Query(q="zebra")).snippets[four.pk] == "A summary"
    assert "<mark>look</mark> 0.6 zebra" in search(None, Query(q="look")).snippets[four.pk]


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    "q",
    ['"', "'", "%", "_", "\\", "*", "noir*", "NEAR(a b)", "a OR b", "name:x", "^noir", "a & b",
     "a:*", "!noir", "noir)", "(noir", "{name}:noir", "'; drop table x", "é", "\0noir",
     "owner:a\0b",
     "rank:999999999999999", "size:>9999999999999tb", "-", "--", "x" * 400, '""', "tag:\"", "水",
     "¦", "film ¦ noir", "-rank:4 -size:>1kb -owner:ada"],
)  # fmt: skip
def test_no_query_fails(client: Client, q: str) -> None:
    for path in ("/browse", "/api/v1/adapters", "/api/v1/models", "/api/models"):
        name = {"/api/v1/models": "query", "/api/models": "search"}.get(path, "q")
        answer = client.get(path, {name: q})
        assert answer.status_code in {200, 400}, (path, answer.content)
        if answer.status_code == 400:  # too long, or a NUL
            assert len(q) > 200 or "\0" in q


@pytest.mark.usefixtures("several")
def test_browse_and_the_api_agree(client: Client) -> None:
    for q in ("noir", "film noir", "nior", "base:sdxl", "thin"):
        rows = client.get("/api/v1/adapters", {"q": q}).json()["results"]
        page = client.get("/browse", {"q": q}).content.decode()
        places = [page.index(f'href="/{row["full_name"]}"') for row in rows]
        assert rows
        assert places == sorted(places)


@pytest.mark.usefixtures("several")
def test_a_correction_is_shown(client: Client) -> None:
    page = client.get("/browse?q=thniker").content.decode()
    assert "Showing results for <b>thinker</b>" in page
    answer = client.get("/api/v1/adapters?q=thniker").json()
    assert answer["corrected"] == "thinker"
    assert client.get("/api/v1/adapters?q=thinker").json()["corrected"] is None
    assert client.get("/api/v1/adapters?q=hard+light").json()["results"][0]["snippet"] == (
        "Grey tones &amp; <mark>hard</mark> <mark>light</mark>"
    )


def test_many_results_are_not_counted(
    client: Client, published: Callable[..., Adapter], own_settings: Callable[..., None]
) -> None:
    own_settings(max_counted=2)
    for number in range(4):
        published(f"z{number}", "Zebra")
    assert "2+ adapters" in client.get("/browse?q=zebra").content.decode()
    assert "4 adapters" in client.get("/browse").content.decode()
    assert "1 adapter<" in client.get("/browse?q=z1").content.decode()


@pytest.mark.usefixtures("several")
def test_the_order_offered_depends_on_words(client: Client) -> None:
    plain = client.get("/browse").content.decode()
    assert '<option value="" selected>Newest</option>' in plain
    assert "Relevance" not in plain
    found = client.get("/browse?q=noir").content.decode()
    assert '<option value="" selected>Relevance</option>' in found
    assert '<option value="new"' in found


@pytest.mark.usefixtures("several")
def test_other_doors_search_alike(client: Client) -> None:
    found = client.get("/api/v1/models?query=nior+shadow").json()["items"]
    assert [item["name"] for item in found] == ["Film Noir"]
    found = client.get("/api/models?search=watercolor").json()
    assert [item["id"] for item in found] == ["ada/ink"]
