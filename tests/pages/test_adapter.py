"""The page of an adapter and what its owner does there."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lorary.algebra.comparing import measure
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, BlobAnatomy, Version
from registry.publication import services as publication
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.relatives import write_original
from tests.pages.conftest import PageClient
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Upload, User

pytestmark = pytest.mark.django_db


def test_it_shows_words_verdict_files_and_snippets(client: Client, noir: Adapter) -> None:
    page = client.get("/ada/noir").content.decode()
    assert "Hard shadows." in page
    assert 'data-copy="noir light"' in page
    assert "Fits Stable Diffusion 1" in page
    assert "lorary pull ada/noir@v1" in page
    assert "hf download ada/noir --revision v1" in page
    assert "/api/v1/model-versions/by-hash/" in page
    assert "LORARY_TOKEN" not in page
    assert "&lt;lora:noir:0.9&gt; noir light" in page
    assert "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors" in page
    assert "Recommended 0.7 to 1.0, best 0.9" in page or "0.7–1.0" in page


def test_a_generic_file_has_the_name_that_a_pull_gives_it(client: Client, ada: User) -> None:
    adapter = adapters.create(actor=ada, name="ink")
    catalogue.release(adapter, lora(), path="pytorch_lora_weights.safetensors")
    page = client.get("/ada/ink").content.decode()
    assert "&lt;lora:ada--ink:" in page
    assert "&lt;lora:pytorch_lora_weights" not in page
    sent = client.get("/api/v1/adapters/ada/ink/versions/v1/files/pytorch_lora_weights.safetensors")
    assert "ada--ink.safetensors" in sent.headers["Content-Disposition"]
    assert "models/loras/ada--ink.safetensors" in page


def test_commands_break_at_their_parts_and_words_are_copied_by_a_press(
    client: Client, noir: Adapter
) -> None:
    page = client.get("/ada/noir").content.decode()
    assert "<code>models/<wbr>loras/<wbr>noir.<wbr>safetensors</code>" in page
    assert re.search(r'<button[^>]*class="chip word"[^>]*data-copy="noir light"', page)


def test_the_form_of_the_card_leads_to_that_of_the_version(as_ada: Client, v1: Version) -> None:
    page = as_ada.get("/ada/noir/edit").content.decode()
    assert "Trigger words, strength and base model belong to a version" in page
    assert 'href="/ada/noir/versions/v1/edit"' in page
    assert "such as “softer”" in as_ada.get("/ada/noir/versions/v1/edit").content.decode()


def copied(page: str) -> list[str]:
    """What the buttons below “Put it here” copy."""
    return [html.unescape(text) for text in re.findall(r'data-copy="([^"]*)"', uses(page))]


def uses(page: str) -> str:
    return page.partition('id="tools"')[2].partition("</section>")[0]


def test_places_of_the_most_used_tools_come_first(client: Client, noir: Adapter) -> None:
    lines = copied(client.get("/ada/noir").content.decode())
    assert lines[:2] == ["models/loras/noir.safetensors", "<lora:noir:0.9> noir light"]
    assert lines[2].startswith('pipe.load_lora_weights(lorary.pull("ada/noir@v1")')
    assert 'set_adapters("mine", 0.9)' in lines[2]


def test_adapters_of_the_miniature_are_only_for_python(client: Client, noir: Adapter) -> None:
    note = "It has no checkpoint for ComfyUI, A1111 or Forge"
    assert note not in client.get("/ada/noir").content.decode()
    noir.versions.update(family="miniature")
    page = client.get("/ada/noir").content.decode()
    lines = copied(page)
    assert note in page
    assert lines[0].startswith('pipe.load_lora_weights(lorary.pull("ada/noir@v1")')
    assert "lorary pull ada/noir@v1" in lines
    assert not any("models/lora" in line.casefold() or "<lora:" in line for line in lines)


def test_what_every_tool_needs_stands_above_them(client: Client, noir: Adapter) -> None:
    page = client.get("/ada/noir").content.decode()
    head = page.partition('id="use"')[2].partition('id="tools"')[0]
    assert "Stable Diffusion 1" in head
    assert "Recommended 0.7 to 1.0, best 0.9" in head


def test_an_unknown_base_model_is_said(client: Client, noir: Adapter) -> None:
    noir.versions.update(family="")
    page = client.get("/ada/noir").content.decode()
    assert "base model not known" in page.partition('id="use"')[2].partition('id="tools"')[0]


def test_commands_begin_with_where_the_hub_is(
    client: Client, noir: Adapter, own_settings: Callable[..., None]
) -> None:
    own_settings(base_url="https://hub.example")
    lines = copied(client.get("/ada/noir").content.decode())
    setup = lines.index("export LORARY_ENDPOINT=https://hub.example")
    assert setup < lines.index("lorary pull ada/noir@v1")
    assert lines[setup + 1] == '$env:LORARY_ENDPOINT = "https://hub.example"'
    assert sum("LORARY_ENDPOINT" in line for line in lines) == 2
    assert any(line.startswith("HF_ENDPOINT=https://hub.example hf ") for line in lines)


def test_commands_have_a_form_for_windows(as_ada: Client, noir: Adapter) -> None:
    Adapter.objects.update(visibility="private")
    lines = copied(as_ada.get("/ada/noir").content.decode())
    windows = [line for line in lines if "$env:" in line or line.startswith("curl.exe")]
    assert any(line.startswith('$env:HF_ENDPOINT = "http://testserver"; ') for line in windows)
    curl = [line for line in windows if line.startswith("curl.exe")]
    assert len(curl) == 2
    assert all('"Authorization: Bearer $env:LORARY_TOKEN"' in line for line in curl)
    assert "lorary pull ada/noir@v1 --to ComfyUI\\models\\loras" in lines


@pytest.mark.parametrize(
    ("agent", "shell"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "powershell"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "posix"),
        ("", "posix"),
    ],
)
@pytest.mark.parametrize("path", ["/ada/noir", "/help/use"])
def test_the_platform_of_the_visitor_chooses_the_shell(
    client: Client, noir: Adapter, path: str, agent: str, shell: str
) -> None:
    page = client.get(path, headers={"user-agent": agent}).content.decode()
    [ticked] = re.findall(r'name="shell" value="(\w+)" autocomplete="off" checked', page)
    assert ticked == shell


@pytest.mark.parametrize("tab", ["anatomy", "files", "versions", "card", "findings", "nonsense"])
def test_every_tab_has_an_address(client: Client, noir: Adapter, tab: str) -> None:
    page = client.get(f"/ada/noir?tab={tab}").content.decode()
    shown = tab if tab != "nonsense" else "anatomy"
    assert f'id="t-{shown}" aria-controls="p-{shown}" aria-selected="true"' in page


def test_blocks_are_compared_by_energy_or_by_parameters(
    client: Client, ada: User, tmp_path: Path
) -> None:
    write_original(tmp_path / "a.safetensors", "sd1", "kohya", seed=3, modules=40)
    data = (tmp_path / "a.safetensors").read_bytes()
    version = catalogue.release(adapters.create(actor=ada, name="film"), data)
    energies = {one.block: one for one in measure(tmp_path / "a.safetensors").blocks}
    strongest = max(energies.values(), key=lambda one: one.energy)
    page = client.get("/ada/film").content.decode()
    assert re.search(rf'Most energy:\s+<b class="redline">{strongest.block}</b>', page)
    assert f'<td class="num">{100 * strongest.share:.1f}%</td>' in page
    cover = client.get(f"/media/covers/{version.pk}.svg")
    assert "Energy by block" in cover.content.decode()
    BlobAnatomy.objects.update(energies=None)
    page = client.get("/ada/film").content.decode()
    assert "Most parameters:" in page
    assert ">Energy<" not in page
    known = {"if-none-match": cover.headers["ETag"]}
    again = client.get(f"/media/covers/{version.pk}.svg", headers=known)
    assert "Parameters by block" in again.content.decode()


def test_hashes_of_weights_can_be_copied(client: Client, noir: Adapter) -> None:
    blob = noir.versions.get().files[0].blob
    blob.claimed_hashes = {"sshs_model_hash": "ab" * 32}
    blob.save()
    page = client.get("/ada/noir?tab=files").content.decode()
    crc = blob.hashes["crc32"]
    values = [blob.sha256, *blob.hashes.values(), bytes.fromhex(crc)[::-1].hex(), "ab" * 32]
    assert len(values) == 11  # without AutoV1, for which the file is too short
    for value in values:
        assert f'data-copy="{value}"' in page
    assert "sshs_model_hash</dt>" in page
    assert page.count("Copy CRC-32") == 2


def test_names_match_without_regard_to_case(client: Client, noir: Adapter) -> None:
    assert client.get("/Ada/NOIR").status_code == 200


def test_a_private_adapter_is_absent_to_strangers(
    client: Client, ada: User, bob: User, noir: Adapter
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    absent = client.get("/ada/never-was")
    hidden = client.get("/ada/noir")
    assert hidden.status_code == absent.status_code == 404
    client.force_login(bob)
    assert client.get("/ada/noir").status_code == 404
    assert client.get("/ada/noir/previews").status_code == 404
    client.force_login(ada)
    assert client.get("/ada/noir").status_code == 200


def test_an_old_name_redirects(client: Client, ada: User, noir: Adapter) -> None:
    adapters.rename(actor=ada, adapter=noir, name="noir-film")
    answer = client.get("/ada/noir")
    assert answer.status_code == 301
    assert answer.headers["Location"] == "/ada/noir-film"


def test_an_unknown_version_is_not_found(client: Client, noir: Adapter) -> None:
    assert client.get("/ada/noir?v=v9").status_code == 404


def test_markup_in_every_text_is_text(client: Client, ada: User, noir: Adapter) -> None:
    attack = '"><script>alert(1)</script>'
    cards.edit_adapter(
        actor=ada, adapter=noir, title=attack, summary=attack, card=attack, licence=attack
    )
    details = Details(notes=attack, label=attack, trigger_words=(attack,))
    assert noir.latest_version is not None
    cards.edit_version(actor=ada, version=noir.latest_version, details=details)
    for address in ("/ada/noir", "/", "/browse", "/ada", "/signin"):
        assert "<script>alert(1)" not in client.get(address).content.decode(), address


def test_an_older_version_says_that_a_newer_one_exists(
    client: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    upload = sent(ada, "noir.safetensors", rank=8)
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    publication.publish(actor=ada, version=draft)
    assert "You are looking at v1; v2 is newer." in client.get("/ada/noir?v=v1").content.decode()
    assert "is newer" not in client.get("/ada/noir").content.decode()


def test_a_draft_is_seen_by_its_owner_alone(
    client: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    adapter = adapters.create(actor=ada, name="draft")
    publication.create_draft(actor=ada, adapter=adapter, uploads=[sent(ada)])
    assert "Nothing has been published here yet" in client.get("/ada/draft").content.decode()
    client.force_login(ada)
    assert (
        "This is a draft. Other users cannot see it." in client.get("/ada/draft").content.decode()
    )


def test_a_withdrawn_version_leaves_a_tombstone(client: Client, noir: Adapter) -> None:
    Version.objects.update(state="withdrawn", withdrawn_reason="Rights of the photographer")
    answer = client.get("/ada/noir")
    page = answer.content.decode()
    assert answer.status_code == 410
    assert "Rights of the photographer" in page
    assert "noir light" in page
    assert "SHA-256" in page


def test_the_owner_edits_the_card(as_ada: Client, noir: Adapter) -> None:
    assert "Edit the card" in as_ada.get("/ada/noir").content.decode()
    said = {
        "title": "Noir II", "summary": "", "kind": "lighting", "tags": "film, Night ,",
        "licence": "CC-BY-4.0", "maturity": "general", "visibility": "unlisted",
        "card": "# Use it",
    }  # fmt: skip
    form = as_ada.get("/ada/noir/edit").content.decode()
    for text in ("Kind", "Content rating", "Visibility", "Save changes", "Cancel"):
        assert f">{text}<" in form
    answer = as_ada.post("/ada/noir/edit", said)
    assert answer.status_code == 302
    noir = Adapter.objects.get(pk=noir.pk)
    assert (noir.title, noir.kind, noir.visibility) == ("Noir II", "lighting", "unlisted")
    assert sorted(noir.tags.values_list("name", flat=True)) == ["film", "night"]


def card_form(noir: Adapter, **said: str) -> dict[str, str]:
    """What the form of the card sends."""
    fields = ("title", "summary", "kind", "maturity", "visibility", "card")
    return {field: getattr(noir, field) for field in fields} | {"tags": "film, dark"} | said


def seen_of(form: str) -> str:
    return str(re.findall(r'name="seen" value="(\w+)"', form)[0])


def test_the_card_is_edited_in_place(as_ada: Client, noir: Adapter) -> None:
    page = as_ada.get("/ada/noir").content.decode()
    assert 'data-hx-get="/ada/noir/edit?part=1" data-hx-target="#editing"' in page
    form = as_ada.get("/ada/noir/edit?part=1").content.decode()
    assert "<html" not in form
    said = card_form(noir, title="Noir II", seen=seen_of(form))
    answer = as_ada.post("/ada/noir/edit?part=1", said)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/ada/noir")
    noir.refresh_from_db()
    assert noir.title == "Noir II"
    bad = as_ada.post("/ada/noir/edit?part=1", said | {"seen": "", "tags": "<b>"})
    assert bad.status_code == 400
    assert "<html" not in bad.content.decode()


def test_the_owner_changes_the_address(as_ada: Client, noir: Adapter, ada: User) -> None:
    adapters.create(actor=ada, name="velvet")
    assert 'name="name" value="noir"' in as_ada.get("/ada/noir/edit").content.decode()
    for name, sentence in (
        ("velvet", "is in use or was used before"),
        ("a--b", "must not contain"),
    ):
        bad = as_ada.post("/ada/noir/edit", card_form(noir, name=name, title="Lost"))
        assert bad.status_code == 400
        assert sentence in bad.content.decode().partition('id="id_name_error"')[2]
        noir.refresh_from_db()
        assert (noir.name, noir.title) == ("noir", "Noir")
    answer = as_ada.post("/ada/noir/edit", card_form(noir, name="film-noir"))
    assert answer.headers["Location"] == "/ada/film-noir"
    assert as_ada.get("/ada/noir").headers["Location"] == "/ada/film-noir"


def test_an_edit_does_not_undo_another(as_ada: Client, noir: Adapter, ada: User) -> None:
    seen = seen_of(as_ada.get("/ada/noir/edit").content.decode())
    cards.edit_adapter(actor=ada, adapter=noir, summary="By somebody else.")
    answer = as_ada.post("/ada/noir/edit", card_form(noir, summary="Mine.", seen=seen))
    assert answer.status_code == 400
    assert "has been changed since you opened this form" in answer.content.decode()
    assert "Mine." in answer.content.decode()
    noir.refresh_from_db()
    assert noir.summary == "By somebody else."


@pytest.mark.parametrize("part", ["", "?part=1"])
def test_a_card_is_previewed_as_the_page_shows_it(as_ada: Client, noir: Adapter, part: str) -> None:
    said = card_form(noir, card="# Use it\n<script>alert(1)</script>", do="preview")
    answer = as_ada.post(f"/ada/noir/edit{part}", said)
    shown = answer.content.decode().partition('<div class="prose">')[2]
    assert "Use it</h" in shown
    assert "<script>alert" not in shown
    assert ("<form" in answer.content.decode()) == (part == "")
    noir.refresh_from_db()
    assert noir.card == ""


def test_a_fault_in_the_card_is_told_beside_its_field(as_ada: Client, noir: Adapter) -> None:
    said = {"kind": "style", "maturity": "general", "visibility": "public", "tags": "<b>"}
    answer = as_ada.post("/ada/noir/edit", said)
    assert answer.status_code == 400
    assert "is not a valid tag" in answer.content.decode()
    assert 'id="id_tags_error"' in answer.content.decode()


def test_strangers_edit_nothing(client: Client, bob: User, noir: Adapter) -> None:
    assert client.get("/ada/noir/edit").headers["Location"].startswith("/signin?next=")
    client.force_login(bob)
    own = ("edit", "versions/v1/edit", "versions/v1/yank")
    for address in ("/publish?to=ada/noir", *(f"/ada/noir/{path}" for path in own)):
        assert client.get(address).status_code == 403
        assert client.post(address, {"reason": "x"}).status_code == 403
    assert "Edit the card" not in client.get("/ada/noir").content.decode()


def test_a_version_is_yanked_with_a_reason_and_taken_back(
    as_ada: Client, noir: Adapter, v1: Version
) -> None:
    address = "/ada/noir/versions/v1/yank"
    assert as_ada.post(address, {"reason": ""}).status_code == 400
    done = as_ada.post(address, {"reason": "Burnt highlights"})
    assert (done.status_code, done.headers["Location"]) == (302, "/ada/noir?v=v1")
    v1.refresh_from_db()
    assert v1.state == "yanked"
    page = as_ada.get("/ada/noir?v=v1").content.decode()
    assert "v1 is yanked." in page
    assert "Reason: Burnt highlights" in page
    assert '<p class="note success">v1 is yanked.' in page
    assert ">Undo: restore v1<" in page
    tab = as_ada.get("/ada/noir?tab=versions").content.decode()
    assert ">Restore<" in tab
    assert "@main (yanked)" in tab
    assert '<tr aria-current="true">' in tab
    assert "You can restore it." in tab
    assert "This cannot be undone." in tab
    stranger = PageClient().get("/ada/noir?v=v1&tab=versions").content.decode()
    assert "@main (yanked)" in stranger
    assert "Undo: restore" not in stranger
    assert "You can restore it." not in stranger
    assert as_ada.post(address, {"reason": "Burnt highlights"}).status_code == 302
    v1.refresh_from_db()
    assert v1.state == "yanked"  # a second click does not restore it
    page = as_ada.post(address, {"restore": "1"}, follow=True).content.decode()
    assert "v1 is restored." in page
    v1.refresh_from_db()
    assert v1.state == "published"


def test_pages_that_take_a_version_down_need_its_number(as_ada: Client, v1: Version) -> None:
    for deed in ("yank", "withdraw", "publish"):
        for name in ("latest", "main"):
            answer = as_ada.post(f"/ada/noir/versions/{name}/{deed}", {"reason": "x", "name": "v1"})
            assert answer.status_code == 400
            assert "Use v1 here." in answer.content.decode()
    v1.refresh_from_db()
    assert v1.state == "published"


def test_an_adapter_whose_versions_are_all_yanked_keeps_its_facts_for_its_owner(
    as_ada: Client, v1: Version
) -> None:
    second = catalogue.release(v1.adapter, lora(8))
    page = as_ada.get("/ada/noir/versions/v2/yank").content.decode()
    assert "offer the newest other version instead of v2" in page
    assert "offer the newest other" not in as_ada.get("/ada/noir/versions/v1/yank").content.decode()
    versions.yank(actor=v1.author, version=second, reason="too strong")
    page = as_ada.get("/ada/noir/versions/v1/yank").content.decode()
    assert "Without it, ada/noir disappears from searches and" in page
    as_ada.post("/ada/noir/versions/v1/yank", {"reason": "too dark"})
    for place in ("/ada", "/browse", f"/browse?family={v1.family}"):
        page = as_ada.get(place).content.decode()
        assert "<b>Yanked</b>" in page
        assert "base unknown" not in page
        assert "nothing published yet" not in page
        assert "rank 8" in page
    as_ada.logout()
    assert "ada/noir" not in as_ada.get("/browse").content.decode()


def test_words_and_strength_of_a_version_can_be_changed(
    as_ada: Client, noir: Adapter, v1: Version
) -> None:
    address = "/ada/noir/versions/v1/edit"
    page = as_ada.get(address).content.decode()
    assert "noir light</textarea>" in page
    said = {"words": "hard light, low sun\n\n noir \nnoir", "strength": "0.8", "family": ""}
    assert as_ada.post(address, said).headers["Location"] == "/ada/noir?v=v1"
    v1.refresh_from_db()
    assert v1.trigger_words == ["hard light, low sun", "noir"]
    assert (v1.strength_min, v1.strength, v1.strength_max) == (None, 0.8, None)
    refused = as_ada.post(address, {"strength_min": "2", "strength_max": "1"})
    assert refused.status_code == 400
    assert "above the maximum" in refused.content.decode()


def test_an_edit_of_a_version_does_not_undo_another(as_ada: Client, v1: Version, ada: User) -> None:
    address = "/ada/noir/versions/v1/edit"
    form = {"words": "hard light", "seen": seen_of(as_ada.get(address).content.decode())}
    changed = replace(Details.of(v1), notes="By somebody else.", strength=0.7)
    cards.edit_version(actor=ada, version=v1, details=changed)
    answer = as_ada.post(address, form)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "has been changed since you opened this form" in page
    assert "hard light</textarea>" in page
    v1.refresh_from_db()
    assert (v1.trigger_words, v1.notes, v1.strength) == (["noir light"], "By somebody else.", 0.7)
    form["seen"] = seen_of(as_ada.get(address).content.decode())
    assert as_ada.post(address, form).status_code == 302


@pytest.mark.parametrize(
    ("licence", "shown"),
    [
        ("cc-by-nc-4.0", ["CC BY-NC 4.0</a>", "Commercial use: <b>no</b>", "Credit: <b>required"]),
        ("openrail", ["Commercial use: <b>with conditions</b>", "not legal advice"]),
        ("ask <me>", ["ask &lt;me&gt;"]),
        ("", ["not stated"]),
    ],
)
def test_a_licence_is_shown_as_permissions(
    client: Client, noir: Adapter, licence: str, shown: list[str]
) -> None:
    Adapter.objects.update(licence=licence)
    page = client.get("/ada/noir").content.decode()
    part = page.partition("<dt>Licence</dt>")[2].partition("</dd>")[0]
    assert all(text in part for text in shown), part
    assert ("<ul" in part) == (len(shown) > 1)


def test_optional_words_stand_apart(as_ada: Client, noir: Adapter, v1: Version) -> None:
    address = "/ada/noir/versions/v1/edit"
    said = {
        "words": "noir light",
        "optional_trigger_words": "low sun\nnoir light",
        "strength": "0.9",
    }
    as_ada.post(address, said)
    v1.refresh_from_db()
    assert (v1.trigger_words, v1.optional_trigger_words) == (["noir light"], ["low sun"])
    assert "low sun</textarea>" in as_ada.get(address).content.decode()
    page = as_ada.get("/ada/noir").content.decode()
    required, _optional, rest = page.partition('<h3 class="cap">Optional</h3>')
    assert 'data-copy="noir light"' in required
    assert 'data-copy="low sun"' in rest.partition("</p>")[0]
    assert "<lora:noir:0.9> noir light" in copied(page)


def test_a_new_version_has_the_optional_words_of_the_latest(ada: User, noir: Adapter) -> None:
    noir.versions.update(optional_trigger_words=["low sun"])
    second = catalogue.release(noir, lora(8), path="noir.safetensors")
    assert second.optional_trigger_words == ["low sun"]


def test_queries_are_bounded(
    client: Client, noir: Adapter, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(15):
        client.get("/ada/noir")


def test_a_strength_that_nobody_recommended_is_not_shown_as_declared(
    client: Client, ada: User
) -> None:
    adapter = adapters.create(actor=ada, name="plain")
    catalogue.release(adapter, lora())
    page = client.get("/ada/plain").content.decode()
    assert "Recommended" not in page
