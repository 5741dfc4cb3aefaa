"""The demo on a hub that has it already, in whatever state."""

from __future__ import annotations

import pytest

from previews import demo
from registry.models import Adapter, Version
from registry.versions import services as versions
from registry.versions import withdraw

pytestmark = pytest.mark.django_db


def test_what_was_taken_back_stays_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, *_rest = demo.catalogue()
    monkeypatch.setattr(demo, "catalogue", lambda: [first, second, third])
    assert demo.publish() == 3
    assert demo.publish() == 0
    yanked, withdrawn, gone = (Adapter.objects.get(name=one.name) for one in demo.catalogue())
    owner = yanked.namespace.user
    assert owner is not None
    versions.yank(actor=owner, version=yanked.versions.get(), reason="too strong")
    withdraw.withdraw(actor=owner, version=withdrawn.versions.get(), reason="copied")
    withdraw.withdraw_adapter(actor=owner, adapter=gone, reason="copied")
    assert demo.publish() == 0
    states = Version.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["yanked", "withdrawn", "withdrawn"]
