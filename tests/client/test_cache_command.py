"""lorary cache: what is listed is what is there, and what is removed is what was asked for."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.client.names import Reference
from lorary.client.transfers import cached_files, pulling
from lorary.client.transfers.cache import Cache, digest_file
from lorary.client.transfers.cached_files import CachedFiles
from lorary.client.transfers.download import fetch
from tests.client.conftest import sha

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"
OLD, NEW, CARD, DRAWN = b"noir, old", b"noir, new ", b"# Noir", b"ink"
DAY_S = 86400


@pytest.fixture
def cache(hub: Hub, fake: FakeHub, home: Path, tmp_path: Path) -> Cache:
    """Two versions that share their card, and one that is in a folder, too."""
    fake.publish(NOIR, {"noir.safetensors": OLD, "README.md": CARD})
    fake.publish(NOIR, {"noir.safetensors": NEW, "README.md": CARD})
    fake.publish(INK, {"ink.safetensors": DRAWN})
    hub.pull(f"{NOIR}@v1")
    hub.pull(f"{NOIR}@v2")
    hub.pull(INK, to=tmp_path / "loras")
    cache = Cache(home / "cache")
    for number, data in enumerate((OLD, CARD, NEW, DRAWN)):
        used_at = time.time() - (40 - 10 * number) * DAY_S
        os.utime(cache.seal(sha(data)), (used_at, used_at))
    return cache


def snapshots(cache: Cache) -> set[bytes]:
    return {p.read_bytes() for p in (cache.root / "snapshots").rglob("*") if p.is_file()}


def test_files_are_listed_with_their_versions_the_last_used_first(run: Run, cache: Cache) -> None:
    rows = run("cache", "ls", "--json").documents
    assert [(row["sha256"], row["versions"], row["linked"]) for row in rows] == [
        (sha(DRAWN), [f"{INK}@v1"], True),
        (sha(NEW), [f"{NOIR}@v2"], False),
        (sha(CARD), [f"{NOIR}@v1", f"{NOIR}@v2"], False),
        (sha(OLD), [f"{NOIR}@v1"], False),
    ]
    text = run("cache", "ls")
    assert "also in a folder" in text.out.splitlines()[0]
    assert f"4 files, {sum(map(len, (OLD, NEW, CARD, DRAWN)))} bytes" in text.err
    assert run("cache", "path").out.strip() == str(cache.root)


def test_an_empty_cache_is_no_error(run: Run) -> None:
    assert run("cache", "ls").err.startswith("lorary: 0 files")
    assert run("cache", "prune", "--older-than", "1d").code == 0


def test_use_is_remembered(run: Run, hub: Hub, cache: Cache) -> None:
    hub.pull(f"{NOIR}@v1")
    assert {row["sha256"] for row in run("cache", "ls", "--json").documents[:2]} == {
        sha(OLD), sha(CARD),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["--older-than", "35d"], {OLD}),
        (["--older-than", "3w"], {OLD, CARD}),
        (["--max-size", f"{len(DRAWN) + len(NEW)}B"], {OLD, CARD}),
        (["--max-size", "0"], {OLD, CARD, NEW, DRAWN}),
        (["--older-than", "35d", "--max-size", "1GB"], {OLD}),
    ],
)
def test_prune_removes_what_is_old_or_too_much(
    run: Run, cache: Cache, tmp_path: Path, words: list[str], gone: set[bytes]
) -> None:
    planned = run("cache", "prune", *words, "--dry-run", "--json").documents
    assert {row["sha256"] for row in planned} == set(map(sha, gone))
    assert all(cache.blob(sha(data)).exists() for data in gone)
    assert run("cache", "prune", *words).code == 0
    left = {OLD, CARD, NEW, DRAWN} - gone
    rows = run("cache", "ls", "--json").documents
    assert {row["sha256"] for row in rows} == set(map(sha, left))
    assert snapshots(cache) == left - {DRAWN}
    assert (tmp_path / "loras" / "ink.safetensors").read_bytes() == DRAWN


def test_rm_takes_versions_adapters_and_digests(run: Run, cache: Cache, hub: Hub) -> None:
    rows = run("cache", "rm", f"{NOIR}@v1", "--json").documents
    actions = {row["sha256"]: row["action"] for row in rows}
    assert actions == {sha(OLD): "remove", sha(CARD): "shared"}
    assert snapshots(cache) == {NEW, CARD}
    assert cache.remembered("versions", hub.endpoint, Reference.parse(NOIR)) == ["v2"]
    assert run("cache", "rm", NOIR).code == 0
    assert not (cache.root / "snapshots" / "studio").exists()
    shown = next(
        line.split()[0] for line in run("cache", "ls").out.splitlines() if sha(DRAWN)[:10] in line
    )
    assert shown == sha(DRAWN)[:10]  # as `lorary find` takes it
    assert run("cache", "rm", shown).code == 0
    assert run("cache", "ls", "--json").documents == []


def test_rm_of_all_versions_that_have_a_file_removes_it(run: Run, cache: Cache) -> None:
    rows = run("cache", "rm", f"{NOIR}@v1", f"{NOIR}@v2", "--json").documents
    assert [row["action"] for row in rows] == ["remove"] * 3
    assert {row["sha256"] for row in run("cache", "ls", "--json").documents} == {sha(DRAWN)}


@pytest.mark.parametrize("name", ["studio/lost", f"{NOIR}@v9", "0123456789"])
def test_rm_of_what_is_not_there_is_named(run: Run, cache: Cache, name: str) -> None:
    ran = run("cache", "rm", INK, name)
    assert (ran.code, "The cache has no" in ran.err) == (3, True)
    assert cache.blob(sha(DRAWN)).exists()


def test_a_version_with_a_wrong_name_does_not_stop_the_command(
    run: Run, hub: Hub, fake: FakeHub
) -> None:
    fake.publish(NOIR, {"noir.safetensors": OLD}, version="../v1")
    fake.answers.append(("noir.safetensors$", 200, {}, OLD))
    hub.pull(NOIR)
    (row,) = run("cache", "ls", "--json").documents
    assert (row["sha256"], row["versions"]) == (sha(OLD), [])
    assert run("cache", "prune", "--max-size", "0").code == 0


def test_what_a_program_has_open_stays(
    run: Run, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, files that are open cannot be removed."""
    unlink = Path.unlink

    def refuse(place: Path, *, missing_ok: bool = False) -> None:
        if place == cache.blob(sha(OLD)):
            raise PermissionError(place)
        unlink(place, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    rows = run("cache", "prune", "--max-size", "0", "--json").documents
    actions = {row["sha256"]: row["action"] for row in rows}
    assert actions.pop(sha(OLD)) == "in_use"
    assert set(actions.values()) == {"remove"}


def test_verify_finds_damage_and_removes_it_only_if_asked(run: Run, cache: Cache) -> None:
    assert run("cache", "verify").out == "4 intact, 0 damaged.\n"
    blob = cache.blob(sha(OLD))
    blob.chmod(0o644)
    blob.write_bytes(OLD[::-1])
    ran = run("cache", "verify")
    assert (ran.code, "3 intact, 1 damaged." in ran.out, blob.exists()) == (1, True, True)
    rows = run("cache", "verify", "--fix", "--json").documents
    assert {(row["state"], row["removed"]) for row in rows} == {("ok", False), ("damaged", True)}
    assert not blob.exists()
    assert OLD[::-1] not in snapshots(cache)


def test_a_fix_says_what_was_removed_and_how_to_repair_linked_files(
    run: Run, cache: Cache, tmp_path: Path
) -> None:
    blob = cache.blob(sha(DRAWN))
    blob.chmod(0o644)
    blob.write_bytes(DRAWN[::-1])
    linked = tmp_path / "loras" / "ink.safetensors"
    assert linked.read_bytes() == DRAWN[::-1]
    plan = run("cache", "verify")
    assert (plan.code, "nothing was removed; --fix removes" in plan.err) == (1, True)
    ran = run("cache", "verify", "--fix")
    assert (ran.code, ran.out.splitlines()[-1]) == (1, "3 intact, 1 damaged. 1 file removed.")
    assert "damaged, removed" in ran.out
    assert "nothing was removed" not in ran.err
    assert "pull them again with --verify --force" in ran.err
    assert run("pull", INK, "--to", linked.parent, "--verify", "--force").code == 0
    assert linked.read_bytes() == DRAWN
    again = run("cache", "verify", "--fix")
    assert (again.code, again.out, again.err) == (0, "4 intact, 0 damaged.\n", "")


def test_what_was_used_since_it_was_listed_stays(cache: Cache, hub: Hub) -> None:
    files = CachedFiles(cache)
    stale = files.stale(unused_since=time.time() - 25 * DAY_S, max_bytes=None)
    path = hub.pull(f"{NOIR}@v1").path
    assert [one.outcome for one in files.remove(stale)] == ["in_use", "in_use"]
    assert path.read_bytes() == OLD


def test_what_is_removed_meanwhile_is_not_damaged(
    run: Run, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(place: Path, on_bytes: Callable[[int], None]) -> str:
        place.unlink()
        return digest_file(place, on_bytes)

    monkeypatch.setattr(cached_files, "digest_file", remove)
    ran = run("cache", "verify")
    assert (ran.code, ran.out) == (0, "0 intact, 0 damaged.\n")


def test_what_a_pull_is_writing_stays(run: Run, cache: Cache) -> None:
    part = cache.part("0" * 64)
    part.write_bytes(b"begun")
    with cache.lock("0" * 64):
        rows = run("cache", "prune", "--max-size", "0", "--json").documents
        assert {row["action"] for row in rows if not row["whole"]} == {"in_use"}
        assert part.exists()
    assert run("cache", "prune", "--max-size", "0").code == 0
    assert not part.exists()


def test_a_file_that_is_removed_before_it_is_placed_is_fetched_again(
    hub: Hub, fake: FakeHub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NOIR, {"noir.safetensors": OLD})
    removed: list[int] = []

    def fetch_and_lose(*args: object, **options: object) -> int:
        count = fetch(*args, **options)  # type: ignore[arg-type] # as it was called
        if not removed:
            removed.append(count)
            Cache(home / "cache").drop(sha(OLD))
        return count

    monkeypatch.setattr(pulling, "fetch", fetch_and_lose)
    hub.pull(NOIR, to=tmp_path / "loras")
    assert (tmp_path / "loras" / "noir.safetensors").read_bytes() == OLD
    assert fake.file_bytes_sent == 2 * len(OLD)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["prune"],
        ["rm"],
        ["ls", NOIR],
        ["ls", "--fix"],
        ["verify", "--dry-run"],
        ["prune", "--older-than", "soon"],
        ["prune", "--max-size", "many"],
        ["clean"],
    ],
)
def test_what_does_not_go_together_is_refused(run: Run, words: list[str]) -> None:
    assert run("cache", *words).code == 2
