"""The demo on a hub that has it already, in whatever state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from previews import demo, demo_packs
from registry.cards import services as cards
from registry.models import Adapter, Pack, Version
from registry.packs import states as pack_states
from registry.versions import services as versions
from registry.versions import withdraw

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db


def test_what_was_taken_back_stays_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, *_rest = demo.catalogue()
    monkeypatch.setattr(demo, "catalogue", lambda: [first, second, third])
    assert demo.publish() == (3, 1)  # the one pack that has no other parts
    assert demo.publish() == (0, 0)
    yanked, withdrawn, gone = (Adapter.objects.get(name=one.name) for one in demo.catalogue())
    owner = yanked.namespace.user
    assert owner is not None
    versions.yank(actor=owner, version=yanked.versions.get(), reason="too strong")
    withdraw.withdraw(actor=owner, version=withdrawn.versions.get(), reason="copied")
    withdraw.withdraw_adapter(actor=owner, adapter=gone, reason="copied")
    assert demo.publish() == (0, 0)
    states = Version.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["yanked", "withdrawn", "withdrawn"]


def test_packs_are_published_with_their_parts_and_only_once() -> None:
    adapters, packs = demo.publish()
    assert (adapters, packs) == (len(demo.catalogue()), len(demo_packs.catalogue()))
    assert packs == Pack.objects.filter(latest_version__isnull=False).count()
    first, second, *_rest = Pack.objects.order_by("pk")
    owner = first.namespace.user
    assert owner is not None
    version = first.versions.get()
    entry = demo_packs.catalogue()[first.name]
    (variant,) = version.manifest["variants"]
    strengths = {part["adapter"]: part["strength"] for part in variant["parts"]}
    assert strengths == {f"lorary/{part['adapter']}": part["strength"] for part in entry["parts"]}
    pack_states.withdraw(actor=owner, version=version, reason="copied")
    pack_states.withdraw_pack(actor=owner, pack=second, reason="copied")
    assert demo.publish() == (0, 0)


def test_a_replaced_file_becomes_a_new_version_and_its_packs_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pack_name, entry = next(iter(demo_packs.catalogue().items()))
    names = [part["adapter"] for part in entry["parts"]]
    old = [one for one in demo.catalogue() if one.name in names]
    monkeypatch.setattr(demo, "catalogue", lambda: old)
    monkeypatch.setattr(demo_packs, "catalogue", lambda: {pack_name: {**entry, "moving": True}})
    assert demo.publish() == (len(names), 1)

    path = tmp_path / old[0].path.name
    path.write_bytes(retrained(old[0].path.read_bytes()))
    monkeypatch.setattr(demo, "catalogue", lambda: [replace(old[0], path=path), *old[1:]])
    assert demo.publish() == (1, 1)
    assert demo.publish() == (0, 0)
    adapter, pack = Adapter.objects.get(name=old[0].name), Pack.objects.get()
    assert adapter.latest_version is not None
    assert pack.latest_version is not None
    assert adapter.latest_version.name == pack.latest_version.name == "v2"
    variants = pack.latest_version.manifest["variants"]
    assert [variant["output"] for variant in variants] == ["image", "video"]
    for variant in variants:
        versions_of = {part["adapter"]: part["version"] for part in variant["parts"]}
        assert versions_of[adapter.full_name] == "v2"

    owner = adapter.namespace.user
    assert owner is not None
    versions.yank(actor=owner, version=adapter.latest_version, reason="worse")
    pack_states.yank(actor=owner, version=pack.latest_version, reason="worse")
    assert demo.publish() == (0, 0)


def test_texts_of_an_earlier_release_are_replaced_but_edited_ones_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = demo.catalogue()[:2]
    before = [replace(one, entry={**one.entry, "summary": "Before."}) for one in now]
    monkeypatch.setattr(demo, "catalogue", lambda: before)
    demo.publish()
    first, second = (Adapter.objects.get(name=one.name) for one in now)
    assert first.summary == "Before."
    owner = first.namespace.user
    assert owner is not None
    cards.edit_adapter(actor=owner, adapter=second, summary="Mine.")
    monkeypatch.setattr(demo, "catalogue", lambda: now)
    demo.publish()
    for adapter in (first, second):
        adapter.refresh_from_db()
    assert first.summary == now[0].entry["summary"]
    assert first.summary in first.card
    assert (second.summary, "Before." in second.card) == ("Mine.", True)


def retrained(data: bytes) -> bytes:
    """Return the file with another last weight."""
    return data[:-2] + bytes([data[-2] ^ 1, data[-1]])


def test_the_prompt_of_a_pack_has_the_trigger_words_of_its_parts() -> None:
    words = {one.name: one.entry["trigger_words"] for one in demo.catalogue()}
    for entry in demo_packs.catalogue().values():
        assert entry["prompt"].count("{prompt}") == 1
        for part in entry["parts"]:
            assert any(word in entry["prompt"] for word in words[part["adapter"]]), entry["title"]
