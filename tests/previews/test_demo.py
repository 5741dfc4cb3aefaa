"""The demo on a hub that has it already, in whatever state."""

from __future__ import annotations

import pytest

from previews import demo, demo_packs
from registry.models import Adapter, Pack, Version
from registry.packs import states as pack_states
from registry.versions import services as versions
from registry.versions import withdraw

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


def test_the_prompt_of_a_pack_has_the_trigger_words_of_its_parts() -> None:
    words = {one.name: one.entry["trigger_words"] for one in demo.catalogue()}
    for entry in demo_packs.catalogue().values():
        assert entry["prompt"].count("{prompt}") == 1
        for part in entry["parts"]:
            assert any(word in entry["prompt"] for word in words[part["adapter"]]), entry["title"]
