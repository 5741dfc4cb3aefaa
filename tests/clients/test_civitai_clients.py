"""Civitai's clients from PyPI, in processes of their own, against a running hub."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from lorary.client.transfers.details import Details
from tests.builders.adapters import DENOISERS, kohya
from tests.clients.environments import environment
from tests.clients.programs import Programs
from tests.documents import snippets

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HERE = Path(__file__).parent

#: Bytes of the newest version: some hundred reads of the clients.
RANK = 120


@dataclass(frozen=True)
class Shop:
    """A hub with two adapters of ``rain``, one of them private; ids as this protocol has them."""

    hub: RunningHub
    token: str
    file: Path
    model: int
    versions: tuple[int, int]
    secret: int

    @property
    def digest(self) -> str:
        """Sha256 of the newest version's file."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def shop(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    older, file = folder / "older" / "rainy.safetensors", folder / "rainy.safetensors"
    older.parent.mkdir()
    older.write_bytes(kohya(DENOISERS["sd1", "diffusers"], metadata={"made": "before"}))
    file.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=RANK, metadata={"made": "rain"}))
    token = hub.manage("token", "--user", "rain", "--create").strip()
    with lorary.Hub(hub.url, token=token) as rain:
        first = rain.push(
            older, "rain/rainy-noir", details=Details(title="rainy-noir", trigger_words=("rainy",))
        )
        second = rain.push(
            file, "rain/rainy-noir", details=Details(title="rainy-noir", trigger_words=("rainy",))
        )
        secret = rain.push(
            older, "rain/secret", details=Details(title="secret", visibility="private")
        )
    del first, second, secret
    code = (
        "from registry.models import Version\n"
        "from tests.pages import pictures\n"
        "rows = Version.objects.filter(adapter__namespace__name='rain').order_by('pk')\n"
        "pictures.render(rows[1], 'ready', 10)\n"
        "print(rows[0].adapter_id, *(row.pk for row in rows))\n"
    )
    model, older_id, newer_id, secret_id = hub.manage("shell", "-v0", "-c", code).split()
    return Shop(hub, token, file, int(model), (int(newer_id), int(older_id)), int(secret_id))


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> str:
    return environment(tmp_path_factory.mktemp("civitai") / "env", HERE / "civitai.txt")


@pytest.fixture(scope="session")
def downloader(tmp_path_factory: pytest.TempPathFactory) -> str:
    return environment(tmp_path_factory.mktemp("civitai") / "alone", HERE / "civitai-alone.txt")


@pytest.fixture
def programs(shop: Shop, tmp_path: Path) -> Programs:
    return Programs(shop.hub, tmp_path / "programs")


@pytest.fixture
def civitapy(shop: Shop, programs: Programs, clients: str) -> Callable[..., Any]:
    """Run code with civitapy's client of the hub as ``hub``, a stranger's unless told otherwise."""

    def run(code: str, token: str = "") -> Any:
        said = f"base_url={shop.hub.url + '/api/v1'!r}, token={token or None!r}, download_dir='out'"
        before = f"from civitapy import CivitAIClient\nhub = CivitAIClient({said})\n"
        return programs.python(before + code, interpreter=clients)

    return run


def test_civitapy_reads_everything_by_its_own_models(
    shop: Shop, civitapy: Callable[..., Any]
) -> None:
    told = civitapy(
        f"""\
from civitapy.models import (
    Creator, Image, MiniModelVersion, Model, ModelVersion, PaginationMetadata, TagItem,
)
listed = hub.models_list(query="rainy", types=["LORA", "LoCon"], base_models="SD 1.5", limit=5)
PaginationMetadata(**listed["metadata"])
(model,) = [Model(**item) for item in listed["items"]]
same = Model(**hub.models_get({shop.model}))
version = ModelVersion(**hub.model_versions_get({shop.versions[0]}))
mini = MiniModelVersion(**hub.model_versions_mini({shop.versions[0]}))
images = [Image(**item) for item in hub.images_list(model_id={shop.model})["items"]]
creators = [Creator(**item) for item in hub.creators_list(query="rain")["items"]]
[TagItem(**item) for item in hub.tags_list()["items"]]
tell({{
    "ids": [model.id, same.id, version.model_id],
    "versions": [one.id for one in same.model_versions],
    "size": [round(version.files[0].size_kb * 1024), round(mini.size * 1024)],
    "base": [version.base_model, mini.base_model],
    "images": [len(images), images[0].meta.cfg_scale, images[0].meta.seed],
    "creators": [[one.username, one.model_count] for one in creators],
    "enums": "LORA" in hub._run(hub._enums_async())["ModelType"],
}})"""
    )
    assert told["ids"] == [shop.model] * 3
    assert told["versions"] == list(shop.versions)
    assert told["size"] == [shop.file.stat().st_size] * 2
    assert told["base"] == ["SD 1.5"] * 2
    assert told["images"] == [8, None, 2]
    assert told["creators"] == [["rain", 1]]
    assert told["enums"]


def test_civitapy_looks_up_hashes_one_by_one_and_in_bulk(
    shop: Shop, civitapy: Callable[..., Any]
) -> None:
    told = civitapy(
        f"""\
digest = {shop.digest!r}
file = hub.model_versions_by_hash(digest)["files"][0]
found = {{kind: hub.model_versions_by_hash(value)["id"] for kind, value in file["hashes"].items()}}
several = hub.model_versions_by_hash_bulk([digest, "0" * 64])
ids = hub.model_versions_by_hash_ids(["0" * 64, digest.upper()])
tell([found, [one["id"] for one in several], [[one.model_version_id, one.hash] for one in ids],
      hub.model_versions_by_hash("0" * 64)])"""
    )
    found, several, ids, nothing = told
    assert set(found) == {"SHA256", "AutoV1", "AutoV2", "AutoV3", "CRC32", "BLAKE3"}
    assert set(found.values()) == {shop.versions[0]}
    assert several == [shop.versions[0]]
    assert ids == [[shop.versions[0], shop.digest.upper()]]
    assert nothing is None


def test_civitapy_downloads_verifies_and_goes_on_where_it_stopped(
    shop: Shop, programs: Programs, civitapy: Callable[..., Any]
) -> None:
    (path,) = civitapy(f"tell(hub.download_model_version({shop.versions[0]}, verify_hash=True))")
    assert Path(path).read_bytes() == shop.file.read_bytes()
    assert Path(path).relative_to(programs.folder).parts[:2] == ("out", "LORA")
    half = shop.file.read_bytes()[: shop.file.stat().st_size // 2]
    Path(path).unlink()
    Path(f"{path}.part").write_bytes(half)
    (again,) = civitapy(f"tell(hub.download_model_version({shop.versions[0]}, verify_hash=True))")
    assert again == path
    assert Path(path).read_bytes() == shop.file.read_bytes()


@pytest.mark.long
def test_civitapy_says_what_is_not_there_and_who_may_not(
    shop: Shop, civitapy: Callable[..., Any]
) -> None:
    code = f"""\
from civitapy.errors import CivitAIAuthError, CivitAINotFoundError
def refused(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
tell([refused(CivitAINotFoundError, lambda: hub.model_versions_get({shop.secret})),
      refused(CivitAINotFoundError, lambda: hub.models_get(2147483647)),
      refused(CivitAIAuthError, lambda: hub.users_me()),
      refused(CivitAIAuthError, lambda: hub.models_list(favorites=True))])"""
    said = civitapy(code)
    assert all(said)
    assert "not found" in said[0]


@pytest.mark.long
def test_civitapy_walks_pages_and_downloads_with_a_token(
    shop: Shop, civitapy: Callable[..., Any]
) -> None:
    name, walked, (path,) = civitapy(
        f"""\
async def walk():
    pages = hub.models_list_paginated_async(limit=1, username="rain", sort="Newest")
    return [model.name async for model in pages]
tell([hub.users_me()["username"], hub._run(walk()),
      hub.download_model_version({shop.secret}, verify_hash=True)])""",
        shop.token,
    )
    assert name == "rain"
    assert walked == ["secret", "rainy-noir"]
    assert Path(path).is_file()


PYCIVITAI = """\
import os, requests
from pycivitai import civitai_download, civitai_find_online, civitai_search_online
from pycivitai.client import configure_http_backend
class Hub(requests.Session):
    def request(self, method, url, **options):
        return super().request(method, url.replace("https://civitai.com", {url!r}), **options)
configure_http_backend(Hub)
"""


def test_pycivitai_finds_by_name_number_and_hash_and_downloads(
    shop: Shop, programs: Programs, clients: str
) -> None:
    told = programs.python(
        PYCIVITAI.format(url=shop.hub.url)
        + f"""\
by_name = civitai_find_online("Rainy Noir", creator="rain")
same = [by_name, civitai_find_online({shop.model}), civitai_find_online({shop.digest!r}),
        civitai_find_online({shop.digest[:10]!r})]
older = civitai_find_online({shop.model}, version="v1")
tell({{"versions": [one.version_id for one in same], "older": older.version_id,
      "sha256": by_name.sha256, "size": by_name.size, "name": by_name.filename,
      "search": [one.model_id for one in civitai_search_online("rainy")],
      "path": civitai_download("Rainy Noir", creator="rain")}})""",
        interpreter=clients,
    )
    assert told["versions"] == [shop.versions[0]] * 4
    assert told["older"] == shop.versions[1]
    assert (told["sha256"], told["size"]) == (shop.digest.upper(), shop.file.stat().st_size)
    assert told["name"] == "rainy.safetensors"
    assert told["search"] == [shop.model]
    assert Path(told["path"]).read_bytes() == shop.file.read_bytes()


@pytest.mark.long
def test_the_api_of_civitai_model_downloader_reads(
    shop: Shop, programs: Programs, clients: str
) -> None:
    told = programs.python(
        f"""\
import civitai_downloader
from civitai.api.client import CivitAIClient
hub = CivitAIClient(api_url={shop.hub.url + "/api/v1"!r})
model = hub.get_model({shop.model})
version = hub.get_model_version({shop.versions[0]})
found = hub.get_model_version_by_hash({shop.digest[:10]!r})
images = hub.list_images(modelId={shop.model}, limit=3)
creators = hub.list_creators(query="rain")
tell([model.name, [one.id for one in model.modelVersions], version.files[0].hashes["SHA256"],
      found.id, len(images.items), [one.username for one in creators.items]])""",
        interpreter=clients,
        CIVITAI_API_TOKEN="none",
    )
    assert told == [
        "rainy-noir", list(shop.versions), shop.digest.upper(), shop.versions[0], 3, ["rain"],
    ]  # fmt: skip


@pytest.mark.long
def test_civitai_downloader_takes_the_redirect_and_the_token(
    shop: Shop, programs: Programs, downloader: str
) -> None:
    for version in (shop.versions[0], shop.secret):
        place = f"{shop.hub.url}/api/download/models/{version}"
        run = [downloader, "-m", "civitai_downloader.downloader", "--output_path", "."]
        said = programs.command([*run, "--url", place, "--token", shop.token])
        assert "Download completed" in said
        (path,) = programs.folder.glob("*.safetensors")
        if version == shop.versions[0]:
            assert path.read_bytes() == shop.file.read_bytes()
        path.unlink()


@pytest.mark.long
def test_the_guide_says_what_works(
    shop: Shop, programs: Programs, clients: str, downloader: str
) -> None:
    shutil.copy(shop.file, programs.folder / "noir.safetensors")
    scripts, lines = examples(shop, "python"), examples(shop, "console")
    assert (len(scripts), len(lines)) == (3, 2)
    for script in scripts:
        programs.python(script, interpreter=clients)
    assert "rainy.safetensors" in programs.output
    for line in [line for block in lines for line in block.splitlines()]:
        words = shlex.split(line.removeprefix("$ ").replace("$TOKEN", shop.token))
        found = shutil.which(words[0])
        words[0] = downloader if words[0] == "python" else str(found)
        programs.command(words)
        (programs.folder / "rainy.safetensors").unlink(missing_ok=True)
        assert shop.token not in shop.hub.log.read_text()


def examples(shop: Shop, language: str) -> list[str]:
    """Return the blocks of the section, with the hub's address and numbers in them."""
    found = snippets("docs/clients.md", language, "Civitai clients")
    for said, meant in {
        "https://hub.example": shop.hub.url,
        "models/1": f"models/{shop.versions[0]}",
        "get_model(1)": f"get_model({shop.model})",
        '"Noir"': '"rainy-noir"',
    }.items():
        found = [block.replace(said, meant) for block in found]
    return found


def test_a_token_in_an_address_is_written_to_no_log(shop: Shop, programs: Programs) -> None:
    for token in (shop.token, "lor_nonsense"):
        for place in ("v1/models", "v1/me", "v1/images?limit=x", f"download/models/{shop.secret}"):
            mark = "&" if "?" in place else "?"
            address = f"{shop.hub.url}/api/{place}{mark}token={token}"
            programs.command([shutil.which("curl") or "curl", "-s", address])
    said = shop.hub.log.read_text()
    assert shop.token not in said
    assert "lor_nonsense" not in said
