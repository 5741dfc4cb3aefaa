"""Search, filters, pages of results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from django.utils.formats import date_format

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
    assert "<span>024</span>" in first
    assert "<span>025</span>" in second
    assert 'rel="next"' not in second
    assert "First page" in second
    assert not {a for a in many if f"{a.title}<" in first and f"{a.title}<" in second}


def test_scrolling_adds_cards_alone_and_stops_after_some_pages(
    client: Client, many: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.pages.catalogue.views.ADAPTERS_PER_PAGE", 4)
    url, is_automatic = "/browse?kind=style", []
    for _page in range(7):
        headers = {"HX-Request": "true"} if "cursor" in url else {}
        answer = client.get(url, headers=headers)
        page = answer.content.decode()
        is_automatic.append("revealed" in page)
        assert "Show more" in page or is_automatic[-1]
        assert page.count('class="card stack') == 4
        assert ("facets" in page) == ("cursor" not in url)
        assert "HX-Push-Url" not in answer.headers
        url = page.split('data-hx-get="')[-1].split('"')[0].replace("&amp;", "&")
    assert is_automatic == [True] * 5 + [False, True]
    assert "after=28" in url


def test_a_profile_grows_like_other_lists(client: Client, many: list[Adapter]) -> None:
    following = client.get("/ada").content.decode().split('data-hx-get="')[-1].split('"')[0]
    page = client.get(following.replace("&amp;", "&"), headers={"HX-Request": "true"})
    assert page.content.decode().startswith('<ul class="cards"')
    assert "<span>030</span>" in page.content.decode()


@pytest.mark.parametrize("after", ["-1", "²", "9" * 99, "x", ""])
def test_a_page_link_with_an_odd_number_still_works(
    client: Client, many: list[Adapter], after: str
) -> None:
    first = client.get("/browse").content.decode()
    following = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    url = following.replace("after=24", f"after={after}")
    assert client.get(url).content.decode().count('class="card stack') == 6


def test_a_broken_page_link_says_so(client: Client, noir: Adapter) -> None:
    answer = client.get("/browse?cursor=nonsense")
    assert answer.status_code == 400
    assert "Start again from the first page" in answer.content.decode()


def test_htmx_gets_filters_and_results_and_a_tidy_address(client: Client, noir: Adapter) -> None:
    answer = client.get("/browse?q=noir&family=&kind=style&tag=", headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert page.startswith("<aside")
    assert '<section id="results"' in page
    assert re.search(r'name="family"\s+value="sd1"\s*>[^<]*<span class="n push">1<', page)
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
    with django_assert_max_num_queries(23):
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
        if name not in {"owner", "maturity"}:  # one owner; ratings are offered up to a level
            assert re.search(rf'name="{name}"\s+value="{value}"', page), name
        found = client.get("/browse", {name: value}).content.decode()
        assert ("31 adapters" if name == "owner" else "3 adapters") in found, name
        assert re.search(rf'name="{name}"\s+value="{value}"\s+checked', found), name
        assert "Remove filter: " in found, name
    found = client.get("/browse?lineage=Pony&kind=style").content.decode()
    assert 'href="/browse?lineage=Pony"' in found
    assert re.search(r'value="Illustrious"\s*>Illustrious\s*<span class="n push">1<', found)
    assert "No adapter matches" in client.get("/browse?maturity=odd&licence=x").content.decode()


def test_several_tags_and_permissions_have_a_chip_each(
    client: Client, ada: User, many: list[Adapter]
) -> None:
    for number, adapter in enumerate(many[:4]):
        tags = ["ink", "noir"] if number % 2 else ["ink"]
        adapters.describe(actor=ada, adapter=adapter, tags=tags, licence="cc0-1.0")
    adapters.describe(actor=ada, adapter=many[5], licence="cc-by-nc-4.0")
    query = "tag=ink&tag=Noir&permission=changes&permission=no_credit"
    page = client.get(f"/browse?{query}&tag=&tag=ink&permission=odd").content.decode()
    assert "2 adapters" in page
    for name, value in (("tag", "ink"), ("tag", "noir"), ("permission", "changes")):
        assert re.search(rf'type="checkbox"[^>]*name="{name}"\s+value="{value}"\s+checked', page)
    assert 'href="/browse?tag=noir&amp;permission=changes&amp;permission=no_credit"' in page
    assert 'href="/browse?tag=ink&amp;tag=noir&amp;permission=changes"' in page
    assert "Remove filter: Use without credit" in page
    page = client.get("/browse?permission=changes").content.decode()
    assert "5 adapters" in page
    assert re.search(r'value="no_credit"\s*>Use without credit\s*<span class="n push">4<', page)
    found = client.get(f"/browse/values?filter=tag&tag_within=zzz&{query}").content.decode()
    assert re.findall(r'value="(\w+)"\s+checked', found) == ["ink", "noir"]
    adapters.describe(actor=ada, adapter=many[5], tags=["pink"])
    for chosen, values in (("", ["ink", "pink"]), ("tag=noir", ["noir", "ink"])):
        found = client.get(f"/browse/values?filter=tag&tag_within=ink&{chosen}").content.decode()
        assert re.findall(r'value="(\w+)"', found) == values
    everything = "&".join(f"tag=t{number}" for number in range(30))
    assert client.get(f"/browse?{everything}").content.decode().count("Remove filter: t") == 10


def test_a_rare_tag_is_found_together_with_a_chosen_one(
    client: Client, ada: User, many: list[Adapter]
) -> None:
    for letter, adapter in zip("ab", many, strict=False):
        tags = ["noir", *(f"{letter}{number:02}" for number in range(29))]
        adapters.describe(actor=ada, adapter=adapter, tags=tags)
    found = client.get("/browse/values?filter=tag&tag_within=B28&tag=noir").content.decode()
    assert re.findall(r'value="(\w+)"', found) == ["noir", "b28"]


def test_trained_parts_and_trainers_are_filters_that_are_folded_until_used(
    client: Client, many: list[Adapter]
) -> None:
    for adapter, parts in zip(many, ("denoiser", "both", "both"), strict=False):
        Adapter.objects.filter(pk=adapter.pk).update(parts=parts, trainer=f"trainer-{parts}")
    page = client.get("/browse").content.decode()
    assert re.search(r"<details ?>\s*<summary[^>]*>Trained parts<", page)
    assert re.search(r'value="both"\s*>Denoiser and text encoder\s*<span class="n push">2<', page)
    for query in ("parts=both", "trainer=trainer-both"):
        page = client.get(f"/browse?{query}").content.decode()
        assert "2 adapters" in page
        assert re.search(r"<details open>\s*<summary[^>]*>Trained (parts|with)<", page)
    assert "30 adapters" in client.get("/browse?parts=odd").content.decode()


def test_a_filter_stays_while_another_one_leaves_one_of_its_values(
    client: Client, many: list[Adapter]
) -> None:
    rows = Adapter.objects.filter(pk=many[0].pk)
    rows.update(family="sdxl", maturity="mature", parts="both", trainer="OneTrainer")
    Adapter.objects.exclude(pk=many[0].pk).update(family="sd1", parts="denoiser", trainer="x")
    titles = {"Trained parts", "Trained with", "Content rating", "Base model"}
    for path in ("/browse", "/browse?family=sdxl", "/browse?family=sd1", "/browse?q=adapter"):
        page = client.get(path).content.decode()
        shown = {one for one in titles if f'<fieldset aria-label="{one}">' in page}
        assert shown == titles, path
    page = client.get("/browse?family=sdxl").content.decode()
    assert 'name="family" value="sd1"' in re.sub(r"\s+", " ", page)
    assert '<fieldset aria-label="Method">' not in page  # all adapters have the same


def test_ratings_are_filtered_up_to_a_level(
    client: Client, noir: Adapter, many: list[Adapter]
) -> None:
    assert "Content rating" not in client.get("/browse").content.decode()
    for level, count in (("suggestive", 2), ("mature", 3), ("explicit", 4)):
        chosen, many = many[:count], many[count:]
        Adapter.objects.filter(pk__in=[one.pk for one in chosen]).update(maturity=level)
    page = client.get("/browse").content.decode()
    for level, label, count in (
        ("general", "General only", 22), ("suggestive", "Up to suggestive", 24),
        ("mature", "Up to mature", 27),
    ):  # fmt: skip
        assert re.search(
            rf'name="max_maturity"\s+value="{level}"\s*>{label}\s*<span class="n push">{count}<',
            page,
        )
        found = client.get(f"/browse?max_maturity={level}").content.decode()
        assert f"{count} adapters" in found
        assert re.search(rf'name="max_maturity"\s+value="{level}"\s+checked', found)
        assert f"Remove filter: {label}" in found
        both = client.get(f"/browse?max_maturity={level}&kind=style").content.decode()
        assert f"{count} adapters" in both
    for level in ("explicit", "odd"):
        assert "31 adapters" in client.get(f"/browse?max_maturity={level}").content.decode()


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
    day = date_format(Adapter.objects.get(name="later").updated_at, "j M Y")
    assert f">{day}</span>" in own  # as on other pages


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
    assert re.search("ada/noir ?· Stable Diffusion 1", said)
    assert "· style · rank 4 · " in said
    assert "noir light" in said
    Adapter.objects.update(family="")
    said = re.sub(r"<[^>]*>", "", client.get("/browse").content.decode())
    assert re.search("ada/noir ?· base unknown", said)


def test_a_wide_list_has_columns(client: Client, noir: Adapter) -> None:
    Adapter.objects.update(downloads=1234)
    page = client.get("/browse").content.decode()
    heads = page.partition('class="heads')[2].partition("</p>")[0]
    columns = page.partition('class="columns">')[2].partition("</dl>")[0]
    for text in ("Owner", "Base model", "Rank", "Size", "Updated", "Downloads"):
        assert f"<span>{text}</span>" in heads
        assert f">{text}</dt>" in columns
    shown = re.findall(r"<dd>\s*(.*?)\s*</dd>", columns)
    assert shown[:3] == ["ada", "Stable Diffusion 1.x", "4"]
    assert shown[-1] == "1,234"


def test_pages_without_a_search_of_their_own_have_one_in_their_head(
    client: Client, noir: Adapter
) -> None:
    for path in ("/ada", "/ada/noir", "/help/use", "/signin", "/mixer"):
        assert client.get(path).content.decode().count('type="search"') >= 1, path
    for path in ("/", "/browse"):
        assert client.get(path).content.decode().count('name="q"') == 1, path


def test_values_of_a_filter_are_found_by_a_part_of_them(
    client: Client, ada: User, noir: Adapter, many: list[Adapter]
) -> None:
    for number, adapter in enumerate(many):
        Adapter.objects.filter(pk=adapter.pk).update(licence=f"licence-{number % 15:02}")
    adapters.describe(actor=ada, adapter=many[0], tags=["watercolour"])
    assert 'name="licence_within"' in client.get("/browse").content.decode()

    def found(query: str) -> str:
        return client.get(f"/browse/values?{query}").content.decode()

    assert found("filter=licence").count("<input") == 13  # the first 12, and any
    page = found("filter=licence&licence_within=E-14")
    assert re.findall(r'value="(licence-\d+)"', page) == ["licence-14"]
    assert '<span class="n push">2</span>' in page
    assert 'value="watercolour"' in found("filter=tag&tag_within=COLOUR")
    assert 'value="watercolour"' in found("filter=tag&tag_within=colour&q=noir")
    assert 'value="ada"' in found("filter=owner&owner_within=d")
    assert "Nothing contains “zzz”" in found("filter=lineage&lineage_within=zzz")
    assert client.get("/browse/values?filter=secret").status_code == 404


def test_ranges_are_filters(client: Client, noir: Adapter, many: list[Adapter]) -> None:
    def found(query: str) -> str:
        return client.get(f"/browse?{query}").content.decode()

    page = found("rank_from=2&rank_to=8&size_from=&size_to=50&q=noir")
    assert "1 adapter" in page
    assert "Remove filter: Rank 2–8" in page
    assert "Remove filter: Size in MB ≤ 50" in page
    assert 'href="/browse?q=noir&amp;size=..50mb"' in page
    assert re.search(r'name="rank_to"[^>]* value="8"', page)
    assert "0 adapters" in found("rank=5..")
    assert "1 adapter" in found("rank=..4")
    assert "31 adapters" in found("rank=odd&size_from=x&size_to=-1")
    answer = client.get("/browse?rank_from=4&rank_to=", headers={"HX-Request": "true"})
    assert answer.headers["HX-Push-Url"] == "/browse?rank=4.."
