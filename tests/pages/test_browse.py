"""Search, filters, pages of results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from lorary.anatomy import FAMILIES
from registry.adapters import services as adapters
from registry.models import Adapter, Revision, Version
from tests.pages.pictures import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def many(ada: User) -> list[Adapter]:
    """Thirty adapters with a version each, without files."""
    made = []
    for number in range(30):
        adapter = adapters.create(actor=ada, name=f"a{number}", title=f"Adapter {number}")
        revision = Revision.objects.get(adapter=adapter)
        version = Version.objects.create(
            adapter=adapter,
            number=1,
            revision=revision,
            author=ada,
            state="published",
            published_at=timezone.now(),
        )
        adapter.latest_version, adapter.published_at = version, version.published_at
        adapter.save()
        made.append(adapter)
    return made


def test_it_finds_by_words_family_kind_and_tag(client: Client, noir: Adapter) -> None:
    for query in ("q=shadows", "q=NOIR+light", "family=sd1", "kind=style", "tag=film", "owner=ada"):
        page = client.get(f"/browse?{query}").content.decode()
        assert 'href="/ada/noir"' in page, query
        assert "1 adapter" in page


def test_rare_families_are_folded_away_but_never_the_chosen_one(
    client: Client, many: list[Adapter]
) -> None:
    families = list(FAMILIES)[:12]
    for number, adapter in enumerate(many):  # the first families are the frequent ones
        Adapter.objects.filter(pk=adapter.pk).update(family=families[number % 18 % 12])
    rare = max(families[6:])  # of equals the last by name
    filters, folded = (
        client.get("/browse").content.decode().partition("<summary>2 more</summary>")[::2]
    )
    assert f'value="{families[0]}"' in filters
    assert f'value="{rare}"' in folded.partition("</details>")[0]
    chosen = client.get(f"/browse?family={rare}").content.decode()
    assert f'value="{rare}" checked' in chosen.partition("<summary>1 more</summary>")[0]


def test_no_result_offers_to_drop_each_filter(client: Client, noir: Adapter) -> None:
    page = client.get("/browse?q=absent&kind=style").content.decode()
    assert "No adapter matches these filters" in page
    assert 'href="/browse?kind=style"' in page
    assert 'href="/browse?q=absent"' in page


def test_unknown_filters_fall_away(client: Client, noir: Adapter) -> None:
    page = client.get("/browse?kind=nonsense&sort=nonsense").content.decode()
    assert 'href="/ada/noir"' in page


def test_markup_in_a_search_is_text(client: Client, noir: Adapter) -> None:
    page = client.get("/browse?q=%3Cscript%3Ealert(1)%3C/script%3E").content.decode()
    assert "<script>alert(1)" not in page


def test_pages_follow_each_other_without_gaps(client: Client, many: list[Adapter]) -> None:
    first = client.get("/browse").content.decode()
    assert "30 adapters" in first
    assert first.count('class="card stack') == 24
    following = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = client.get(following).content.decode()
    assert second.count('class="card stack') == 6
    assert 'rel="next"' not in second
    assert "First page" in second
    assert not {a for a in many if f"{a.title}<" in first and f"{a.title}<" in second}


def test_a_broken_page_link_says_so(client: Client, noir: Adapter) -> None:
    answer = client.get("/browse?cursor=nonsense")
    assert answer.status_code == 400
    assert "Start again from the first page" in answer.content.decode()


def test_htmx_gets_the_results_alone_and_a_tidy_address(client: Client, noir: Adapter) -> None:
    answer = client.get("/browse?q=noir&family=&kind=style&tag=", headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert page.startswith('<section id="results"')
    assert "<html" not in page
    assert answer.headers["HX-Push-Url"] == "/browse?q=noir&kind=style"
    assert "HX-Request" in answer.headers["Vary"]


def test_going_back_gets_the_whole_page(client: Client, noir: Adapter) -> None:
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in client.get("/browse", headers=headers).content.decode()


def test_the_density_is_remembered(client: Client, noir: Adapter) -> None:
    client.cookies["density"] = "list"
    assert 'data-density="list"' in client.get("/browse").content.decode()
    client.cookies["density"] = '"><script>'
    assert 'data-density="card"' in client.get("/browse").content.decode()


def test_queries_do_not_grow_with_the_results(
    client: Client,
    many: list[Adapter],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_max_num_queries(16):
        client.get("/browse")
    with django_assert_max_num_queries(20):
        client.get("/browse?kind=style&owner=ada&q=adapter")


def test_each_filter_is_a_list_a_chip_and_a_part_of_the_address(
    client: Client, noir: Adapter, many: list[Adapter]
) -> None:
    Adapter.objects.filter(pk__in=[one.pk for one in many[:3]]).update(
        lineage="Pony", algorithm="loha", licence="mit", maturity="mature"
    )
    Adapter.objects.filter(pk=many[4].pk).update(lineage="Illustrious", licence="cc0-1.0")
    page = client.get("/browse").content.decode()
    for name, value in {
        "lineage": "Pony", "method": "loha", "licence": "mit", "maturity": "mature", "owner": "ada",
    }.items():  # fmt: skip
        if name != "owner":  # there is only one
            assert re.search(rf'name="{name}"\s+value="{value}"', page), name
        found = client.get("/browse", {name: value}).content.decode()
        assert ("31 adapters" if name == "owner" else "3 adapters") in found, name
        assert re.search(rf'name="{name}"\s+value="{value}"\s+checked', found), name
        assert "Remove filter: " in found, name
    found = client.get("/browse?lineage=Pony&kind=style").content.decode()
    assert 'href="/browse?lineage=Pony"' in found
    assert re.search(r'value="Illustrious"\s*>Illustrious\s*<span class="n push">1<', found)
    assert "No adapter matches" in client.get("/browse?maturity=odd&licence=x").content.decode()


def test_pictures_are_a_filter(client: Client, noir: Adapter, v1: Version) -> None:
    assert 'name="pictures"' in client.get("/browse").content.decode()
    page = client.get("/browse?pictures=yes").content.decode()
    assert "0 adapters" in page
    assert "Remove filter: With pictures" in page
    render(v1, "ready", 2)
    assert 'href="/ada/noir"' in client.get("/browse?pictures=yes").content.decode()


def test_more_matches_than_are_counted_are_told_as_such(
    client: Client, many: list[Adapter], own_settings: Callable[..., None]
) -> None:
    own_settings(max_counted=10)
    assert "30 adapters" in client.get("/browse?kind=style").content.decode()
    page = client.get("/browse?kind=style&q=adapter").content.decode()
    assert "10+ adapters" in page
    assert re.search(r'<span class="n push">10\+</span>', page)


def test_a_profile_lists_what_its_visitor_may_see(
    client: Client, ada: User, published: Callable[..., Adapter]
) -> None:
    published(ada, "open")
    published(ada, "hidden", visibility="private")
    published(ada, "linked", visibility="unlisted")
    page = client.get("/ada").content.decode()
    assert "/ada/open" in page
    assert "/ada/hidden" not in page
    assert "/ada/linked" not in page
    client.force_login(ada)
    own = client.get("/ada").content.decode()
    assert "/ada/hidden" in own
    assert "/ada/linked" in own


def test_a_profile_lists_unpublished_adapters_to_their_owner(
    client: Client, ada: User, noir: Adapter
) -> None:
    adapters.create(actor=ada, name="later")
    assert "/ada/later" not in client.get("/ada").content.decode()
    client.force_login(ada)
    own = client.get("/ada").content.decode()
    assert "Not published yet" in own
    assert own.count("/ada/later") == 1


def test_an_owner_without_adapters_has_a_page(client: Client, bob: User) -> None:
    page = client.get("/bob").content.decode()
    assert "bob has not published anything here" in page


def test_nobody_has_none(client: Client, db: None) -> None:
    answer = client.get("/nobody")
    assert answer.status_code == 404
    assert "There is no user or organisation" in answer.content.decode()


def test_a_card_names_adapter_base_model_kind_and_words(client: Client, noir: Adapter) -> None:
    page = client.get("/browse").content.decode()
    card = page.partition('class="card stack')[2].partition("</li>")[0]
    said = re.sub(r"<[^>]*>", "", card)
    assert "ada/noir · Stable Diffusion 1" in said
    assert " · style · rank 4 · " in said
    assert "noir light" in said
    Adapter.objects.update(family="")
    assert "ada/noir · base unknown" in re.sub(
        r"<[^>]*>", "", client.get("/browse").content.decode()
    )
