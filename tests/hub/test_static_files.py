"""Static files as a hub serves them: under names with digests, compressed, for a year."""

from __future__ import annotations

import gzip
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import brotli
import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client

import hub
from hub.http import static

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http.response import HttpResponseBase
    from pytest_django import Settings

HUB = Path(hub.__file__).parent
FOR_A_YEAR = "max-age=31536000, public, immutable"
FOR_A_MINUTE = "max-age=60, public"
#: Bytes on the wire of a page with its style sheets, scripts and fonts; of the page alone; of the
#: headers of a response.
MAX_BYTES, MAX_PAGE_BYTES, HEADER_BYTES = 120_000, 50_000, 500
#: Addresses of static files in a page, style sheet or script.
ADDRESS = re.compile(r'(?:href|src)="(/static/[^"#]+)|url\("(\.\.?/[^"]+)"\)|from "(\./[^"]+)"')


@pytest.fixture
def data(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Serve static files as outside of the tests, from a data directory of their own."""
    settings.LORARY = replace(django_settings.LORARY, data=tmp_path)
    settings.STORAGES = {
        **django_settings.STORAGES,
        "staticfiles": {"BACKEND": "hub.http.static.HashedStorage"},
    }
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = False
    static.collected.cache_clear()
    yield tmp_path
    static.collected.cache_clear()


def body(response: HttpResponseBase) -> bytes:
    assert response.status_code == 200
    return b"".join(response)


def addresses(text: str, at: str) -> set[str]:
    """Return the absolute addresses of the static files that a text names."""
    found = {one for match in ADDRESS.finditer(text) for one in match.groups() if one}
    return {urljoin(at, one) for one in found}


@pytest.mark.django_db
def test_every_file_behind_a_page_has_a_digest_in_its_name(data: Path) -> None:
    client = Client()
    left = addresses(client.get("/browse").text, "")
    left.add(staticfiles_storage.url("js/publish.js"))
    seen: set[str] = set()
    while left:
        address = left.pop()
        seen.add(address)
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", address), address
        response = client.get(address)
        assert response.headers["Cache-Control"] == FOR_A_YEAR
        content = body(response)
        if address.endswith((".css", ".js")):
            left |= addresses(content.decode(), address) - seen
    names = {address.rpartition("/")[2].partition(".")[0] for address in seen}
    assert {"tokens", "components", "serif-italic", "sans", "ui", "publish", "sending"} <= names


def test_files_are_sent_compressed_to_those_who_accept_it(data: Path) -> None:
    client, url = Client(), staticfiles_storage.url
    plain = body(client.get(url("css/components.css")))
    for accepted, decoded in (("br, gzip", brotli.decompress), ("gzip", gzip.decompress)):
        response = client.get(url("css/components.css"), headers={"Accept-Encoding": accepted})
        assert response.headers["Content-Encoding"] == accepted.split(",")[0]
        assert response.headers["Vary"] == "Accept-Encoding"
        sent = body(response)
        assert len(sent) == int(response.headers["Content-Length"]) < len(plain) / 3
        assert decoded(sent) == plain
    font = client.get(url("fonts/sans.woff2"), headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in font.headers
    assert body(font).startswith(b"wOF2")


def test_files_of_the_admin_are_below_a_folder_of_their_own(data: Path) -> None:
    place = staticfiles_storage.url("admin/css/base.css")
    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css", place)
    assert Client().get(place).status_code == 200
    assert Client().get("/static/css/base.css").status_code == 404


def test_names_of_other_releases_get_the_file_of_this_one(data: Path) -> None:
    client = Client()
    for path in ("/static/js/ui.0123456789ab.js", "/static/js/ui.js"):
        response = client.get(path)
        assert response.headers["Cache-Control"] == FOR_A_MINUTE
        assert body(response) == (HUB / "static" / "js" / "ui.js").read_bytes()
    for path in ("/static/js/ui.x.js", "/static/js/absent.0123456789ab.js", "/static/js/"):
        assert client.get(path).status_code == 404, path


def test_processes_that_start_together_collect_the_same_files(data: Path) -> None:
    collect = static.collected.__wrapped__
    with ThreadPoolExecutor(4) as pool:
        folders = [future.result() for future in [pool.submit(collect) for _ in range(4)]]
    (folder,) = set(folders)
    assert [path.name for path in (data / "static").iterdir()] == [folder.name]
    made = (folder / "staticfiles.json").stat().st_mtime_ns
    assert collect() == folder
    assert (folder / "staticfiles.json").stat().st_mtime_ns == made


def test_other_files_get_another_folder_and_old_folders_are_deleted(
    data: Path, tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    source = tmp_path_factory.mktemp("static")
    (source / "a.css").write_text("a { color: red }")
    settings.STATICFILES_DIRS = [source]
    first = static.collected.__wrapped__()
    for number in range(4):
        os.utime(first, (number, number))
        other = data / "static" / f"release-{number}"
        other.mkdir()
        os.utime(other, (10 + number, 10 + number))
    now, hours_ago = data / "static" / ".now", data / "static" / ".killed"
    now.mkdir()
    hours_ago.mkdir()
    os.utime(hours_ago, (time.time() - 7200,) * 2)
    (source / "a.css").write_text("a { color: blue }")
    second = static.collected.__wrapped__()
    assert second != first
    left = {path.name for path in (data / "static").iterdir()}
    assert left == {second.name, "release-2", "release-3", ".now"}


def test_a_style_sheet_that_names_an_absent_file_is_refused(
    data: Path, tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    source = tmp_path_factory.mktemp("static")
    (source / "a.css").write_text("a { background: url(absent.svg) }")
    settings.STATICFILES_DIRS = [source]
    with pytest.raises(ValueError, match=r"absent\.svg"):
        static.collected.__wrapped__()
    assert not list((data / "static").iterdir())


@pytest.mark.django_db(transaction=True)
def test_home_and_browse_take_at_most_120_kb_without_pictures(data: Path) -> None:
    call_command("generate", "--adapters=30", stdout=StringIO(), stderr=StringIO())
    client = Client(headers={"Accept-Encoding": "gzip, deflate, br"})
    for path in ("/", "/browse"):
        page = client.get(path).content
        assert len(page) < MAX_PAGE_BYTES
        named = addresses(gzip.decompress(page).decode(), path)
        # Both pages use these fonts, and icons.
        assert {one.split(".")[0] for one in named} >= {"/static/fonts/serif", "/static/fonts/sans"}
        sizes = {one: int(client.get(one).headers["Content-Length"]) for one in named}
        assert len(page) + sum(sizes.values()) + HEADER_BYTES * len(sizes) < MAX_BYTES


def test_templates_and_code_name_static_files_that_exist(data: Path) -> None:
    named = {
        name
        for path in [*HUB.rglob("*.html"), *HUB.rglob("*.py")]
        for name in re.findall(
            r"""(?:\{%\s*static\s+'|\bstatic\(")([^'"]+)['"]""", path.read_text("utf-8")
        )
    }
    assert len(named) > 8
    for name in named:
        assert staticfiles_storage.url(name)
