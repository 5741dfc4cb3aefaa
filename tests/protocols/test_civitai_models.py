"""``/api/v1/models``: lists, filters and pages of what a hub offers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.utils import timezone

from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, Version
from registry.publication import services as publication
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.pages import pictures

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db

#: Adapters with their owners, tags, versions, files, pictures, recipes, samples, chosen covers.
QUERIES = 9


def items(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/models?{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def names(client: Client, query: str = "") -> list[str]:
    return [item["name"] for item in items(client, query)]


def another(ada: User, name: str, family: str = "sd1", **card: Any) -> Adapter:
    adapter = adapters.create(actor=ada, name=name, **card)
    data = kohya(DENOISERS[family, "diffusers"], metadata={"name": name})
    catalogue.release(adapter, data, path=f"{name}.safetensors")
    adapter.refresh_from_db()
    return adapter


def test_a_model_has_what_clients_take_for_granted(stranger: Client, first: Version) -> None:
    (told,) = items(stranger)
    assert told["id"] == first.adapter_id
    assert (told["name"], told["type"], told["nsfw"]) == ("Noir", "LORA", False)
    assert (told["description"], told["tags"]) == ("", ["film"])
    assert told["creator"]["username"] == "ada"
    assert told["stats"]["downloadCount"] == 0
    assert told["availability"] == "Public"
    assert told["allowCommercialUse"] == []
    (version,) = told["modelVersions"]
    assert (version["id"], version["name"], version["index"]) == (first.pk, "v1", 0)
    assert "modelId" not in version
    assert version["baseModel"] == "SD 1.5"
    assert version["trainedWords"] == []
    assert version["stats"]["downloadCount"] == 0
    assert version["images"] == []
    assert version["downloadUrl"] == f"http://testserver/api/download/models/{first.pk}"
    for key in ("createdAt", "publishedAt"):
        assert version[key].endswith("Z")
        assert datetime.fromisoformat(version[key]).tzinfo == UTC


def test_a_file_has_all_its_hashes_and_its_size_to_the_byte(
    stranger: Client, first: Version, lora: bytes
) -> None:
    (file,) = items(stranger)[0]["modelVersions"][0]["files"]
    blob = first.files.get(is_primary=True).blob
    assert file["sizeKB"] * 1024 == len(lora)
    assert (file["name"], file["type"], file["primary"]) == ("noir.safetensors", "Model", True)
    assert file["metadata"] == {"format": "SafeTensor", "size": "full", "fp": "fp16"}
    assert (file["pickleScanResult"], file["virusScanResult"]) == ("Success", "Success")
    crc = bytes.fromhex(blob.hashes["crc32"])[::-1].hex()
    assert file["hashes"] == {
        "SHA256": blob.sha256.upper(),
        "AutoV2": blob.sha256[:10].upper(),
        "AutoV3": blob.hashes["autov3"].upper(),
        "CRC32": crc.upper(),
        "BLAKE3": blob.hashes["blake3"].upper(),
        **({"AutoV1": blob.hashes["autov1"].upper()} if "autov1" in blob.hashes else {}),
    }
    assert file["downloadUrl"] == f"http://testserver/api/download/models/{first.pk}"


def test_versions_come_newest_first_without_those_that_are_not_offered(
    stranger: Client, ada: User, noir: Adapter, first: Version
) -> None:
    second, third, fourth = (
        catalogue.release(noir, kohya(DENOISERS["sd1", "diffusers"], metadata={"n": str(n)}))
        for n in range(3)
    )
    versions.yank(actor=ada, version=second, reason="too strong")
    catalogue.put(Version.objects.filter(pk=third.pk), "withdrawn")
    told = stranger.get(f"/api/v1/models/{noir.pk}").json()
    assert [one["id"] for one in told["modelVersions"]] == [fourth.pk, first.pk]
    assert [one["index"] for one in told["modelVersions"]] == [0, 1]
    for state in ("yanked", "withdrawn"):
        catalogue.put(Version.objects.all(), state)
        Adapter.objects.update(latest_version=None)
        answer = stranger.get(f"/api/v1/models/{noir.pk}")
        assert answer.status_code == 404
        assert "not found" in answer.json()["error"]
        assert items(stranger) == []


def test_several_weights_have_one_primary_and_addresses_that_tell_them_apart(
    stranger: Client, ada: User
) -> None:
    adapter = adapters.create(actor=ada, name="pair")
    paths = ("high/adapter.safetensors", "low/adapter.safetensors")
    uploads = [
        catalogue.accept(ada, kohya(DENOISERS["sd1", "diffusers"], metadata={"p": path}), path)
        for path in paths
    ]
    draft = publication.create_draft(actor=ada, adapter=adapter, uploads=uploads)
    version = publication.publish(actor=ada, version=draft)
    files = items(stranger)[0]["modelVersions"][0]["files"]
    assert [file["primary"] for file in files] == [True, False]
    assert {file["name"] for file in files} == {path.replace("/", "-") for path in paths}
    place = f"http://testserver/api/download/models/{version.pk}"
    assert files[0]["downloadUrl"] == place
    assert files[1]["downloadUrl"].startswith(f"{place}?type=Model&format=SafeTensor&fileId=")
    assert len(items(stranger, "primaryFileOnly=true")[0]["modelVersions"][0]["files"]) == 1


def test_one_model_tells_its_card_as_html(stranger: Client, ada: User, noir: Adapter) -> None:
    card = "# Noir\n\n<script>alert(1)</script>"
    cards.edit_adapter(actor=ada, adapter=noir, card=card, summary="Dark & <wet>")
    told = stranger.get(f"/api/v1/models/{noir.pk}").json()
    assert "<h2>Noir</h2>" in told["description"]
    assert "<script" not in told["description"]
    assert items(stranger)[0]["description"] == "<p>Dark &amp; &lt;wet&gt;</p>"


def test_what_a_stranger_may_not_see_has_no_number(
    stranger: Client, as_ada: Client, ada: User, noir: Adapter, first: Version
) -> None:
    addresses = [
        f"/api/v1/models/{noir.pk}",
        f"/api/v1/model-versions/{first.pk}",
        f"/api/v1/model-versions/mini/{first.pk}",
        f"/api/v1/model-versions/by-hash/{first.files.get(is_primary=True).sha256}",
        f"/api/download/models/{first.pk}",
    ]
    for visibility, word in (("private", "Private"), ("unlisted", "Unsearchable")):
        cards.edit_adapter(actor=ada, adapter=noir, visibility=visibility)
        for address in addresses[:3]:
            assert as_ada.get(address).json()["availability"] == word
        for address in addresses:
            answer = stranger.get(address)
            assert answer.status_code == 404, address
            assert "not found" in answer.json()["error"]
            assert as_ada.get(address).status_code in {200, 302}, address
        assert items(stranger) == []
        assert names(as_ada) == ["Noir"]
    asked = [first.files.get(is_primary=True).sha256]
    for place in ("by-hash", "by-hash/ids"):
        told = stranger.post(
            f"/api/v1/model-versions/{place}", asked, content_type="application/json"
        )
        assert told.json() == []


def test_filters_filter(stranger: Client, ada: User, bob: User, noir: Adapter) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, licence="cc-by-nc-4.0", maturity="mature")
    other = adapters.create(actor=bob, name="day", title="Day", tags=["light", "film"])
    data = kohya(DENOISERS["sdxl", "diffusers"])
    catalogue.release(other, data, Details(lineage="Pony Diffusion V6 XL"), path="day.safetensors")
    other.refresh_from_db()
    both = {"Noir", "Day"}
    for query, found in {
        "": both, "query=noir": {"Noir"}, "query=NOIR": {"Noir"}, "query=absent": set(),
        "tag=light": {"Day"}, "tag=FILM": both, "tag=none": set(),
        "username=bob": {"Day"}, "username=BOB": {"Day"}, "username=nobody": set(),
        "types=LORA": both, "types=LoCon": set(), "types=LORA,LoCon": both,
        "types=LORA&types=DoRA": both, "types=Checkpoint": set(),
        "baseModels=Pony": {"Day"}, "baseModels=SD%201.5": {"Noir"}, "baseModels=SDXL%201.0": set(),
        "baseModels=Pony,SD%201.5": both, "baseModels=Illustrious": set(),
        f"ids={noir.pk}": {"Noir"}, f"ids={noir.pk},{other.pk}": both, "ids=999999": set(),
        "nsfw=false": {"Day"}, "nsfw=true": both, "browsingLevel=1": {"Day"},
        "browsingLevel=4": both - {"Day"}, "browsingLevel=5": both, "browsingLevel=24": set(),
        "browsingLevel=4&nsfw=false": both - {"Day"},
        "period=Day": both, "earlyAccess=true": set(), "earlyAccess=false": both,
        "supportsGeneration=true": set(), "fromPlatform=true": set(), "checkpointType=Merge": both,
        "allowCommercialUse=Sell": set(), "allowCommercialUse=None": both,
        "allowDerivatives=true": {"Noir"}, "allowDerivatives=false": {"Day"},
        "allowDifferentLicenses=true": {"Noir"}, "allowNoCredit=true": set(),
        "tag=film&username=ada&types=LORA": {"Noir"}, "limit=0": set(),
    }.items():  # fmt: skip
        assert set(names(stranger, query)) == found, query
    old = timezone.now() - timedelta(days=10)
    Adapter.objects.filter(pk=noir.pk).update(published_at=old)
    assert names(stranger, "period=Week") == ["Day"]
    assert set(names(stranger, "period=Month")) == both


def test_favourites_are_for_those_who_are_signed_in(
    stranger: Client, as_ada: Client, noir: Adapter
) -> None:
    for name in ("favorites", "hidden"):
        answer = stranger.get(f"/api/v1/models?{name}=true")
        assert answer.status_code == 401
        assert answer.json()["error"]
        assert items(as_ada, f"{name}=true") == []
        assert names(as_ada, f"{name}=false") == ["Noir"]


@pytest.fixture
def shelf(ada: User) -> list[Adapter]:
    """Seven adapters, the first of them published first and downloaded most often."""
    made = [another(ada, f"style{n}", tags=[f"t{n}"]) for n in range(7)]
    for n, one in enumerate(made):
        Adapter.objects.filter(pk=one.pk).update(downloads=10 - n // 2)
    return made


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("Newest", [6, 5, 4, 3, 2, 1, 0]),
        ("Oldest", [0, 1, 2, 3, 4, 5, 6]),
        ("Most Downloaded", [1, 0, 3, 2, 5, 4, 6]),
    ],
)
def test_cursors_walk_the_whole_list_once(
    stranger: Client, shelf: list[Adapter], sort: str, order: list[int]
) -> None:
    found, place = [], f"/api/v1/models?limit=2&sort={sort}&tag=&token="
    while place:
        told = stranger.get(place).json()
        assert len(told["items"]) <= 2
        found += [item["name"] for item in told["items"]]
        metadata = told["metadata"]
        place = metadata.get("nextPage", "")
        assert ("nextCursor" in metadata) == bool(place)
        if place:
            assert isinstance(metadata["nextCursor"], str)
            assert dict(parse_qsl(urlsplit(place).query))["cursor"] == metadata["nextCursor"]
    assert found == [f"style{n}" for n in order]


def test_a_cursor_is_not_moved_by_what_is_published_meanwhile(
    stranger: Client, ada: User, shelf: list[Adapter]
) -> None:
    told = stranger.get("/api/v1/models?limit=3&sort=Newest").json()
    another(ada, "late")
    rest = stranger.get(told["metadata"]["nextPage"]).json()
    assert [item["name"] for item in rest["items"]] == ["style3", "style2", "style1"]


def test_pages_are_counted_as_far_as_a_thousand(stranger: Client, shelf: list[Adapter]) -> None:
    told = stranger.get("/api/v1/models?limit=3&page=2&sort=Oldest").json()
    assert [item["name"] for item in told["items"]] == ["style3", "style4", "style5"]
    metadata = told["metadata"]
    assert (metadata["currentPage"], metadata["pageSize"]) == (2, 3)
    last = stranger.get(metadata["nextPage"]).json()
    assert [item["name"] for item in last["items"]] == ["style6"]
    assert "nextPage" not in last["metadata"]
    answer = stranger.get("/api/v1/models?limit=100&page=11")
    assert answer.status_code == 429
    assert "cursors" in answer.json()["error"]
    assert stranger.get("/api/v1/models?limit=100&page=10").status_code == 200
    assert stranger.get("/api/v1/models?query=a&page=1").status_code == 400


def test_tokens_open_by_header_and_by_address_and_stand_in_no_link(
    stranger: Client, ada: User, shelf: list[Adapter], token_of: Any
) -> None:
    cards.edit_adapter(actor=ada, adapter=shelf[0], visibility="private")
    secret = token_of(ada, "read")
    answer = stranger.get(f"/api/v1/models?limit=2&token={secret}&sort=Oldest")
    assert answer.json()["items"][0]["name"] == "style0"
    assert secret not in answer.content.decode()
    assert "token" not in answer.json()["metadata"]["nextPage"]
    own = stranger.get("/api/v1/models?sort=Oldest", headers={"Authorization": f"Bearer {secret}"})
    assert own.json()["items"][0]["name"] == "style0"
    for wrong in ({"token": "lor_wrong"}, {"token": secret[:-1]}):
        answer = stranger.get("/api/v1/models", wrong)
        assert answer.status_code == 401
        assert answer.json()["error"]


def test_a_list_asks_a_fixed_number_of_questions(
    stranger: Client, shelf: list[Adapter], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for one in shelf:
        pictures.render(one.versions.get(), "ready", 20)
    for limit in (1, 7):
        with django_assert_num_queries(QUERIES):
            assert len(items(stranger, f"limit={limit}")) == limit
    with django_assert_num_queries(QUERIES):
        assert stranger.get(f"/api/v1/models/{shelf[0].pk}").status_code == 200
