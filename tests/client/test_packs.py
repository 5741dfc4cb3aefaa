"""Packs: the client and its commands."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lorary.client import errors, packs
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR, DUSK = b"noir weights", b"dusk weights"
MANIFEST: dict[str, Any] = {
    "schema": 1,
    "variants": [{"name": "sd1", "prompt": "noir, {prompt}", "negative": "é", "steps": 20}],
}


def part(adapter: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {
        "adapter": adapter, "version": "v1", "file": "pytorch_lora_weights.safetensors",
        "sha256": sha(data), "size": len(data), "strength": 0.8, "role": "style",
        "trigger_words": ["noir"], "state": "available", "reason": "", **more,
    }  # fmt: skip


def variant(name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "family": "sd1", "output": "image", "complete": True,
        "prompt": "noir, {prompt}", "negative": "blurry", "settings": {"steps": 20, "fps": None},
        "tested_with": {}, "parts": list(parts),
    }  # fmt: skip


def version(*variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "pack": "studio/dusk", "version": "v1", "state": "published", "reason": "",
        "manifest": MANIFEST, "manifest_sha256": packs.digest_of(MANIFEST), "notes": "",
        "url": "http://hub/packs/studio/dusk?v=v1", "variants": list(variants), **more,
    }  # fmt: skip


PACK: dict[str, Any] = {
    "full_name": "studio/dusk", "title": "Dusk", "kind": "lighting", "summary": "Evenings",
    "tags": ["evening"], "maturity": "general", "visibility": "public", "latest_version": "v1",
    "variants": [{"name": "sd1", "family": "sd1", "output": "image", "complete": True}],
    "url": "http://hub/packs/studio/dusk", "aliases": {"stable": "v1"}, "card": "",
}  # fmt: skip


@pytest.fixture
def answer(fake: FakeHub) -> Callable[..., None]:
    """Prepare the answer to the next request of a path."""

    def answer(pattern: str, document: Any, status: int = 200) -> None:
        headers = {"Content-Type": "application/json"}
        fake.answers.append((pattern, status, headers, json.dumps(document).encode()))

    return answer


@pytest.fixture
def dusk(fake: FakeHub, answer: Callable[..., None]) -> None:
    """A pack of two adapters, of which one is in both variants."""
    fake.publish("studio/noir", {"pytorch_lora_weights.safetensors": NOIR, "README.md": b"#"})
    fake.publish("studio/dusk", {"pytorch_lora_weights.safetensors": DUSK})
    noir, light = part("studio/noir", NOIR), part("studio/dusk", DUSK, strength=1.0)
    answer("packs/studio/dusk/versions", version(variant("sd1", noir, light), variant("b", noir)))


@pytest.mark.usefixtures("dusk")
def test_a_pack_is_pulled_into_a_folder_and_described(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    ran = run("pull", "pack:studio/dusk@v1", "--to", folder, "--json")
    assert ran.code == 0, ran.err
    assert sorted(place.name for place in folder.iterdir() if place.name[0] != ".") == [
        "studio--dusk.pack.json", "studio--dusk.safetensors", "studio--noir.safetensors",
    ]  # fmt: skip
    assert (folder / "studio--noir.safetensors").read_bytes() == NOIR
    told = ran.document
    assert (told["pack"], told["variants"], told["missing"]) == ("studio/dusk", ["sd1", "b"], [])
    assert [one["sha256"] for one in told["files"]] == [sha(NOIR), sha(DUSK)]
    described = json.loads((folder / "studio--dusk.pack.json").read_text(encoding="utf-8"))
    assert described["manifest_sha256"] == packs.digest_of(MANIFEST)
    first, second = described["variants"]
    assert [one["local_file"] for one in first["parts"]] == [
        "studio--noir.safetensors", "studio--dusk.safetensors",
    ]  # fmt: skip
    assert (second["name"], second["parts"][0]["strength"]) == ("b", 0.8)


@pytest.mark.usefixtures("dusk")
def test_the_files_of_a_pulled_pack_are_verified_by_its_description(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "loras"
    assert run("pull", "pack:studio/dusk@v1", "--to", folder).code == 0
    description = folder / "studio--dusk.pack.json"
    assert run("verify", description).out == "2 ok.\n"
    (folder / "studio--noir.safetensors").unlink()
    changed = folder / "studio--dusk.safetensors"
    changed.unlink()
    changed.write_bytes(b"other")
    done = run("verify", description, "--json")
    assert done.code == 1
    assert {row["path"]: (row["state"], row["expected"]) for row in done.documents} == {
        "studio--noir.safetensors": ("missing", sha(NOIR)),
        "studio--dusk.safetensors": ("changed", sha(DUSK)),
    }
    assert "differ from the pack" in run("verify", description).err


@pytest.mark.usefixtures("dusk")
def test_one_variant_is_pulled_into_the_cache(hub: Hub, fake: FakeHub) -> None:
    pulled = hub.pull_pack("studio/dusk", variant="b")
    assert list(pulled.files) == [sha(NOIR)]
    place = pulled.files[sha(NOIR)].local_path
    assert place.read_bytes() == NOIR
    described = json.loads(pulled.description.read_text(encoding="utf-8"))
    assert described["variants"][0]["parts"][0]["local_file"] == place.as_posix()
    assert pulled.variants[0].prompt_for("a {cat}") == "noir, a {cat}"
    assert not fake.requests("adapters/studio/dusk")
    assert not fake.requests("README")


@pytest.mark.usefixtures("dusk")
def test_an_unknown_variant_is_refused_with_those_there_are(run: Run) -> None:
    ran = run("pull", "pack:studio/dusk", "--variant", "sdxl")
    assert ran.code == 3
    assert "It has sd1, b." in ran.err


def test_parts_that_are_gone_are_told_and_the_rest_is_pulled_on_request(
    run: Run, fake: FakeHub, answer: Callable[..., None], tmp_path: Path
) -> None:
    fake.publish("studio/noir", {"noir.safetensors": NOIR})
    gone = part("studio/dusk", DUSK, state="withdrawn", reason="Copied.")
    told = version(variant("sd1", part("studio/noir", NOIR), gone))
    words = ("pull", "pack:studio/dusk", "--to", tmp_path / "loras")
    answer("packs/", told)
    ran = run(*words)
    assert ran.code == 3
    assert "studio/dusk@v1 is withdrawn (Copied)" in ran.err
    assert "--partial" in ran.err
    assert not (tmp_path / "loras").exists()
    answer("packs/", told)
    ran = run(*words, "--partial", "--json")
    assert (ran.code, ran.document["missing"]) == (0, ["studio/dusk@v1"])
    assert "was left out: Copied." in ran.err
    answer("packs/", told)
    assert "studio/noir × 0.8, studio/dusk × 0.8 (left out)" in run(*words, "--partial").out
    described = json.loads(Path(ran.document["description"]).read_text(encoding="utf-8"))
    assert [one["local_file"] for one in described["variants"][0]["parts"]] == [
        "noir.safetensors", None,
    ]  # fmt: skip


def test_a_file_that_another_adapter_still_has_is_not_missing(
    hub: Hub, fake: FakeHub, answer: Callable[..., None]
) -> None:
    fake.publish("studio/noir", {"noir.safetensors": NOIR})
    kept = variant("sd1", part("studio/noir", NOIR))
    gone = variant("b", part("studio/copy", NOIR, state="private", reason="Private."))
    for variants in ((kept, gone), (gone, kept)):
        answer("packs/", version(*variants))
        pulled = hub.pull_pack("studio/dusk")
        assert (list(pulled.files), pulled.missing) == ([sha(NOIR)], ())


@pytest.mark.usefixtures("dusk")
def test_a_file_that_describes_something_else_is_kept(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "studio--dusk.pack.json"
    place.write_text("mine")
    ran = run("pull", "pack:studio/dusk", "--to", tmp_path)
    assert (ran.code, place.read_text()) == (1, "mine")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.usefixtures("dusk")
def test_a_description_that_was_edited_is_kept(
    run: Run, tmp_path: Path, answer: Callable[..., None]
) -> None:
    place = tmp_path / "studio--dusk.pack.json"
    pull = ("pull", "pack:studio/dusk", "--to", tmp_path)
    assert run(*pull).code == 0
    written = place.read_bytes()
    answer("packs/", version(variant("sd1", part("studio/noir", NOIR)), version="v2"))
    assert run(*pull).code == 0
    assert place.read_bytes() != written
    place.write_text(place.read_text(encoding="utf-8").replace('"prompt": "', '"prompt": "my '))
    edited = place.read_bytes()
    answer("packs/", version(variant("sd1", part("studio/noir", NOIR)), version="v2"))
    ran = run(*pull)
    assert (ran.code, place.read_bytes()) == (1, edited)
    assert "was edited later, so it was left alone" in ran.err
    answer("packs/", version(variant("sd1", part("studio/noir", NOIR)), version="v2"))
    assert run(*pull, "--force").code == 0
    assert place.read_bytes() != edited


def test_a_manifest_with_another_digest_is_refused(hub: Hub, answer: Callable[..., None]) -> None:
    answer("packs/", version(variant("sd1"), manifest_sha256="0" * 64))
    with pytest.raises(errors.BadAnswer):
        hub.pack_version("studio/dusk")
    answer("packs/", version(state="withdrawn", reason="Copied", manifest={}))
    with pytest.raises(errors.Gone, match="Copied"):
        hub.pull_pack("studio/dusk")


def test_packs_are_listed_and_shown(run: Run, answer: Callable[..., None], fake: FakeHub) -> None:
    page = {"results": [PACK], "next": None}
    answer("packs", page)
    ran = run("pack", "list", "evening", "--family", "sd1", "--tag", "evening")
    assert (ran.code, "studio/dusk" in ran.out) == (0, True)
    assert "q=evening" in fake.seen[-1].path
    answer("packs", page)
    assert run("pack", "list", "--json").document["pack"] == "studio/dusk"
    answer("packs", {"results": [], "next": None})
    assert "nothing found" in run("pack", "list").err
    told = version(variant("sd1", part("studio/noir", NOIR)))
    answer("packs/studio/dusk$", PACK)
    answer("packs/studio/dusk/versions/latest", told)
    shown = run("pack", "show", "pack:studio/dusk")
    assert shown.code == 0, shown.err
    for words in ("stable → v1", "noir, {prompt}", "studio/noir@v1", "steps 20"):
        assert words in shown.out
    answer("packs/studio/dusk/versions/v1", told)
    assert run("pack", "show", "studio/dusk@v1", "--json").document == told


def test_a_pack_is_created_edited_and_published(
    run: Run, answer: Callable[..., None], fake: FakeHub, tmp_path: Path
) -> None:
    card = tmp_path / "card.md"
    card.write_text("# Dusk")
    answer("packs", PACK, 201)
    ran = run("pack", "create", "studio/dusk", "--title", "Dusk", "--tag", "a", "--tag", "b",
              "--rating", "mature", "--card", card)  # fmt: skip
    assert (ran.code, ran.out.strip()) == (0, PACK["url"])
    assert json.loads(fake.seen[-1].body) == {
        "owner": "studio", "name": "dusk", "title": "Dusk", "tags": ["a", "b"],
        "maturity": "mature", "card": "# Dusk",
    }  # fmt: skip
    answer("packs", PACK)
    assert run("pack", "edit", "studio/dusk", "--rename", "dawn").code == 0
    assert (fake.seen[-1].method, json.loads(fake.seen[-1].body)) == ("PATCH", {"name": "dawn"})
    place = tmp_path / "dusk.json"
    place.write_text(json.dumps(MANIFEST))
    answer("versions", version(variant("sd1", part("studio/noir", NOIR))), 201)
    ran = run("pack", "publish", "studio/dusk", place, "--notes", "First", "--json")
    assert (ran.code, ran.document["version"]) == (0, "v1")
    assert json.loads(fake.seen[-1].body) == {"manifest": MANIFEST, "notes": "First"}


@pytest.mark.parametrize(
    "words",
    [
        ("pack",), ("pack", "show"), ("pack", "create"), ("pack", "edit", "a/b"),
        ("pack", "publish", "a/b"), ("pack", "list", "--limit", "-1"),
        ("pack", "yank", "a/b", "--reason", "x"), ("pack", "yank", "a/b@v1"),
        ("pack", "restore", "a/b"), ("pack", "withdraw", "a/b", "--reason", "x"),
        ("pack", "alias"), ("pack", "alias", "a/b@v1", "x"), ("pack", "restore"),
        ("pull", "a/b", "--variant", "x"), ("pull", "pack:a/b", "--all-files"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "--help" in ran.err or ran.err.startswith("lorary: ")


def test_faults_of_a_manifest_are_shown(
    run: Run, answer: Callable[..., None], tmp_path: Path
) -> None:
    place = tmp_path / "dusk.json"
    assert run("pack", "publish", "studio/dusk", place).code == 3
    place.write_text("{")
    ran = run("pack", "publish", "studio/dusk", place)
    assert (ran.code, "is not JSON" in ran.err) == (1, True)
    place.write_text("{}")
    detail = "variants: Enter a list of 1 to 16."
    answer("versions", {"code": "validation_failed", "detail": detail}, 400)
    ran = run("pack", "publish", "studio/dusk", place)
    assert (ran.code, detail in ran.err) == (1, True)


def test_versions_are_yanked_restored_and_withdrawn(
    run: Run, answer: Callable[..., None], fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"pack": "studio/dusk", "version": "v1", "state": "yanked", "reason": "Too dark"}
    answer("yank", version(state="yanked", reason="Too dark"))
    words = ("studio/dusk@v1", "--reason", "Too dark")
    assert run("pack", "yank", *words, "--json").document == told
    assert fake.seen[-1].path.endswith("packs/studio/dusk/versions/v1/yank")
    answer("yank", version())
    assert run("pack", "restore", "studio/dusk@v1").out == "studio/dusk v1 was restored\n"
    assert fake.seen[-1].method == "DELETE"
    monkeypatch.setattr("sys.stdin", io.StringIO())
    asked = run("pack", "withdraw", *words)
    assert (asked.code, "confirm it with --yes" in asked.err) == (2, True)
    answer("withdraw", version(state="withdrawn", reason="Too dark", manifest={}))
    done = run("pack", "withdraw", *words, "--yes")
    assert done.out == "studio/dusk v1 was withdrawn: Too dark\n"
    answer("packs/studio/dusk/withdraw", PACK)
    everything = run("pack", "withdraw", "studio/dusk", "--all", "--reason", "x", "--yes", "--json")
    assert (everything.code, everything.document["version"]) == (0, None)
    answer("packs/studio/dusk/withdraw", PACK)
    everything = run("pack", "withdraw", "studio/dusk", "--all", "--reason", "x", "--yes")
    assert "(all of it) was withdrawn: x" in everything.out


def test_aliases_are_moved_listed_and_removed(
    run: Run, answer: Callable[..., None], fake: FakeHub
) -> None:
    row = {
        "name": "stable", "version": "v1", "state": "published",
        "moved_at": "2026-01-02T03:04:05Z", "moved_by": "ada",
    }  # fmt: skip
    answer("aliases/stable", row)
    moved = run("pack", "alias", "studio/dusk", "stable", "v1", "--expect", "none", "--json")
    assert (moved.document["pack"], moved.document["alias"]) == ("studio/dusk", "stable")
    assert json.loads(fake.seen[-1].body) == {"to": "v1", "expected": None}
    answer("aliases", {"results": [row], "next": None})
    listed = run("pack", "alias", "pack:studio/dusk").out
    assert "stable  v1" in listed
    assert "REVISION" not in listed
    step = {"before": None, "after": "v1", "moved_at": row["moved_at"], "moved_by": "ada"}
    answer("history", {"results": [step], "next": None})
    history = run("pack", "alias", "studio/dusk", "stable", "--history", "--json").document
    assert (history["before"], history["after"]) == (None, "v1")
    answer("aliases/stable", None, 204)
    removed = run("pack", "alias", "studio/dusk", "stable", "--remove", "--json")
    assert removed.document == {"pack": "studio/dusk", "alias": "stable", "removed": True}
