"""The gallery, on the page of an adapter and on their own."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory

import previews.tasks  # noqa: F401 - registers the handlers of jobs
from hub.http import limits
from hub.pages.pictures import gallery
from previews.models import Sample
from previews.samples import services as samples
from registry.adapters import selectors as adapter_selectors
from registry.jobs import worker_process
from registry.models import (
    Adapter,
    AdapterName,
    Membership,
    Namespace,
    NamespaceName,
    Version,
    VersionState,
)
from registry.versions import selectors as version_selectors
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db

MARK = "uploaded by ada, not rendered here"
PLACE = "/ada/noir/gallery?v=v1"


def claims(*hashes: str) -> bytes:
    """A picture that says which adapters it was made with."""
    names = ", ".join(f"lora{number}: {text}" for number, text in enumerate(hashes))
    text = (
        f"<b>a harbour</b> <lora:lora0:0.8>\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, "
        f'CFG scale: 6.5, Seed: 7, Size: 512x768, Model: base, Lora hashes: "{names}"'
    )
    return files.png(files.chunk(b"tEXt", b"parameters\0" + text.encode()))


@pytest.fixture
def bring(ada: User, v1: Version) -> Callable[..., Sample]:
    """Bring a picture and have it read."""

    def bring(data: bytes = b"", caption: str = "") -> Sample:
        stream = io.BytesIO(data or files.png())
        sample = samples.add(
            actor=ada, version=v1, stream=stream, name="night.png", caption=caption
        )
        worker_process.drain("checks")
        sample.refresh_from_db()
        return sample

    return bring


def shown(client: Client, place: str = "/ada/noir") -> str:
    answer = client.get(place)
    assert answer.status_code == 200
    return answer.content.decode()


def test_strangers_see_no_empty_gallery(client: Client, noir: Adapter) -> None:
    page = shown(client)
    assert 'id="gallery"' not in page
    assert "js/gallery.js" not in page
    assert "This version has no pictures yet." in shown(client, PLACE)


def test_the_owner_is_offered_to_bring_some(as_ada: Client, noir: Adapter) -> None:
    page = shown(as_ada)
    assert "only users who can publish here see this section" in page
    assert 'data-upload="/api/v1/adapters/ada/noir/versions/v1/samples"' in page
    assert "js/gallery.js" in page


def test_each_picture_is_marked_and_says_what_it_claims(
    client: Client, bring: Callable[..., Sample], v1: Version
) -> None:
    file = v1.primary_file
    assert file is not None
    sample = bring(claims(file.sha256[:12], "0" * 12), caption="At <night>")
    page = shown(client)
    assert page.count(MARK) == 1
    assert f'src="/media/samples/{sample.pk}.webp"' in page
    assert "At &lt;night&gt;" in page
    assert "<b>a harbour" not in page
    assert 'data-copy="&lt;b&gt;a harbour&lt;/b&gt; &lt;lora:lora0:0.8&gt;"' in page
    assert "base, 20 steps, Euler a, guidance 6.5, seed 7, 512 × 768" in page
    assert '<a href="/ada/noir?v=v1">ada/noir v1</a>at 0.8' in page
    assert 'lora1<span class="muted">(not on this hub)</span>' in page
    assert "Edit or remove" not in page


def test_a_file_named_without_a_hash_is_not_called_absent(
    client: Client, bring: Callable[..., Sample]
) -> None:
    bring(claims())
    assert "<li>lora0 at 0.8</li>" in re.sub(r"\s+", " ", shown(client)).replace("> ", ">")
    assert "not on this hub" not in shown(client)


def test_a_video_is_played_on_demand_only(client: Client, bring: Callable[..., Sample]) -> None:
    sample = bring(files.film())
    page = shown(client)
    assert f'<a href="/media/samples/{sample.pk}.mp4" data-light>' in page
    assert f'<img src="/media/samples/{sample.pk}.webp"' in page
    assert "autoplay" not in page
    policy = client.get("/ada/noir")["Content-Security-Policy"]
    assert "media-src 'self'" in policy


def test_pictures_are_in_their_order_and_the_page_of_an_adapter_shows_the_newest(
    client: Client, bring: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bring(), bring()
    page = shown(client, PLACE)
    places = [page.index(f"/media/samples/{one.pk}.webp") for one in (first, second)]
    assert places == sorted(places)
    monkeypatch.setattr("hub.pages.adapters.views.FIRST", 1)
    _top, _at, page = shown(client).partition('id="gallery"')  # the first one is the cover above
    assert f"/media/samples/{second.pk}.webp" in page
    assert f"/media/samples/{first.pk}.webp" not in page
    assert f'<a class="btn" href="{PLACE}">All 2 pictures</a>' in page
    assert shown(client, PLACE).count(MARK) == 2


def test_pictures_of_other_versions_are_linked(
    client: Client, bring: Callable[..., Sample], v1: Version, noir: Adapter
) -> None:
    bring()
    Version.objects.create(
        adapter=noir,
        revision=v1.revision,
        number=2,
        author=v1.author,
        state=VersionState.PUBLISHED,
        published_at=v1.published_at,
    )
    page = shown(client, "/ada/noir?v=v2")
    assert MARK not in page
    assert '<a href="/ada/noir/gallery?v=v1">v1, 1 picture</a>' in page


def test_what_is_read_or_refused_is_shown_to_its_owner_alone(
    client: Client, ada: User, v1: Version, bring: Callable[..., Sample]
) -> None:
    bring(files.png(size=(30_000, 30_000)))
    samples.add(actor=ada, version=v1, stream=io.BytesIO(files.png()), name="next.png")
    assert MARK not in shown(client)
    client.force_login(ada)
    page = shown(client)
    assert "night.png: The picture has 30000 × 30000 pixels" in page
    assert "processing…" in page
    assert 'data-hx-trigger="every 2s"' in page
    worker_process.drain("checks")
    part = shown(client, f"{PLACE}&part&first")
    assert part.startswith('<div class="stack g5" id="prints"')
    assert "data-hx-trigger" not in part


def test_members_see_the_blur_of_what_is_ready_alone(
    client: Client, ada: User, noir: Adapter, bring: Callable[..., Sample]
) -> None:
    wild = bring()
    bring(files.png(size=(30_000, 30_000)))
    Sample.objects.update(maturity="explicit")
    studio = Namespace.objects.create(name="studio", key="studio", kind="organisation")
    NamespaceName.objects.create(namespace=studio, key="studio")
    Membership.objects.create(namespace=studio, user=ada, role="write")
    Adapter.objects.update(namespace=studio)
    AdapterName.objects.update(namespace=studio)
    client.force_login(ada)
    page = shown(client, "/studio/noir/gallery")
    assert f"/media/samples/{wild.pk}.webp" not in page
    assert "night.png: The picture has 30000 × 30000 pixels" in page
    assert page.count("show=explicit") == 2  # for one picture: with and without JavaScript


def test_pictures_are_brought_without_script(as_ada: Client, noir: Adapter) -> None:
    sent = [
        SimpleUploadedFile("night.png", files.png()),
        SimpleUploadedFile("evil.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ]
    answer = as_ada.post(PLACE, {"files": sent}, follow=True)
    page = answer.content.decode()
    assert "1 picture is being checked." in page
    assert "evil.png: Files of type SVG are not accepted." in page
    assert [sample.facts["name"] for sample in Sample.objects.all()] == ["night.png"]
    again = as_ada.post(PLACE, follow=True)
    assert "Choose a file first." in again.content.decode()


def test_captions_change_and_pictures_go_after_a_question(
    as_ada: Client, bring: Callable[..., Sample]
) -> None:
    place = f"/ada/noir/gallery/{bring().pk}"
    assert "Remove the picture" in shown(as_ada, place)
    answer = as_ada.post(place, {"do": "save", "caption": "At night"}, follow=True)
    assert "At night" in answer.content.decode()
    assert as_ada.post(place, {"do": "save", "caption": "x" * 300}).status_code == 400
    answer = as_ada.post(place, {"do": "remove"}, follow=True)
    assert "The picture was removed." in answer.content.decode()
    assert not Sample.objects.exists()


def test_others_may_neither_bring_nor_remove(
    client: Client, bob: User, bring: Callable[..., Sample]
) -> None:
    sample = bring()
    client.force_login(bob)
    assert "data-upload" not in shown(client)
    assert client.get(f"/ada/noir/gallery/{sample.pk}").status_code == 403
    assert client.post(f"/ada/noir/gallery/{sample.pk}", {"do": "remove"}).status_code == 403
    sent = SimpleUploadedFile("night.png", files.png())
    assert client.post(PLACE, {"files": [sent]}).status_code == 403
    assert Sample.objects.count() == 1


def test_a_picture_has_one_address(
    as_ada: Client, ada: User, bring: Callable[..., Sample], published: Callable[..., Adapter]
) -> None:
    published(ada, "other")
    sample = bring()
    assert as_ada.get(f"/ada/other/gallery/{sample.pk}").status_code == 404


def test_more_pictures_take_no_more_queries(
    bring: Callable[..., Sample],
    v1: Version,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    file = v1.primary_file
    assert file is not None
    for _ in range(3):
        bring(claims(file.sha256[:12]))
    adapter = adapter_selectors.get(None, "ada", "noir")
    version = version_selectors.get(None, adapter)
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    with django_assert_num_queries(4):
        gallery.gallery_of(request, adapter, version, None)


def test_a_form_that_is_too_large_is_refused_before_it_is_written(
    as_ada: Client, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_FORM_BYTES", 1000)
    small, large = (SimpleUploadedFile("a.png", b"x" * size) for size in (100, 4000))
    assert as_ada.post(PLACE, {"files": small}).status_code == 302
    assert as_ada.post(PLACE, {"files": large}).status_code == 400
    as_ada.logout()
    large.seek(0)
    assert as_ada.post("/signin", {"name": "ada", "files": large}).status_code == 400


def test_a_picture_above_the_level_of_the_viewer_is_blurred_alone(
    client: Client, ada: User, bob: User, bring: Callable[..., Sample]
) -> None:
    mild, wild = bring(), bring(claims("0" * 12), caption="Wild")
    Sample.objects.filter(pk=wild.pk).update(maturity="explicit")
    address, api = f"/media/samples/{wild.pk}", f"data-sample='{wild.pk}'"
    for place, page in (("/ada/noir", "/ada/noir?"), (PLACE, f"{PLACE}&amp;")):
        told = shown(client, place)
        assert f"/media/samples/{mild.pk}.webp" in told
        assert address not in told
        assert wild.placeholder in told
        assert '<span class="chip quiet">Explicit</span>' in told
        assert "Wild" not in told
        assert "a harbour" not in told
        assert f'href="{page}show=explicit"' in told
        assert f'data-hx-select="[{api}]"' in told
        mark = "?" if "?" not in place else "&"
        assert address in shown(client, f"{place}{mark}show=explicit")
        assert address not in shown(client, f"{place}{mark}show=mature")
    part = f"{PLACE}&show=explicit&part"
    assert address in shown(client, part)
    assert f'data-hx-get="{PLACE}&show=explicit&part"'.replace("&", "&amp;") in shown(client, PLACE)
    client.force_login(bob)
    client.post("/settings/content", {"level": "explicit"})
    assert address in shown(client)
    client.force_login(ada)
    assert address in shown(client)


def test_pictures_of_a_mature_adapter_may_be_rated_lower(
    client: Client, bring: Callable[..., Sample]
) -> None:
    mild, other = bring(), bring(claims("0" * 12))
    Adapter.objects.update(maturity="mature")
    Sample.objects.filter(pk=mild.pk).update(maturity="general")
    told = shown(client, PLACE)
    assert f"/media/samples/{mild.pk}.webp" in told
    assert f"/media/samples/{other.pk}.webp" not in told


def test_uploaders_rate_their_pictures(as_ada: Client, v1: Version) -> None:
    page = shown(as_ada, PLACE)
    assert 'name="maturity"' in page
    files_of = {"files": SimpleUploadedFile("a.png", files.png(), content_type="image/png")}
    assert as_ada.post(PLACE, {**files_of, "maturity": "mature"}).status_code == 302
    sample = Sample.objects.get()
    assert sample.maturity == "mature"
    place = f"/ada/noir/gallery/{sample.pk}"
    assert re.search(r'value="mature"\s+selected', shown(as_ada, place))
    said = {"do": "save", "caption": "x", "maturity": ""}
    said_before = said | {"maturity": "suggestive"}
    told = as_ada.post(place, said_before, follow=True).content.decode()
    assert "Caption and content rating are saved." in told
    assert '<span class="chip quiet">Suggestive</span>' in shown(as_ada, PLACE)
    assert as_ada.post(place, said).status_code == 302
    sample.refresh_from_db()
    assert (sample.maturity, sample.caption) == ("", "x")
    assert as_ada.post(place, said | {"maturity": "odd"}).status_code == 400
    files_of = {"files": SimpleUploadedFile("a.png", files.png(), content_type="image/png")}
    told = as_ada.post(PLACE, {**files_of, "maturity": "odd"}, follow=True).content.decode()
    assert "The content rating must be one of" in told
