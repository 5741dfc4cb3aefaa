"""Stacks to try on the tiny base, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from previews.models import Render, Tryout
from previews.tryouts import services as tryouts
from previews.tryouts.requests import TryoutRequest
from registry.errors import LoraryError
from registry.jobs import worker_process
from registry.models import Job

if TYPE_CHECKING:
    from registry.models import User, Version


def alone(version: Version) -> Version:
    """Spare a test the version's own previews."""
    Job.objects.filter(renders__version=version).delete()
    version.renders.all().delete()
    return version


def stack_of(*layers: tuple[Version, float], **said: Any) -> TryoutRequest:
    """A stack_of for a red boat."""
    return TryoutRequest(layers=layers, **{"prompt": "a red boat", "seed": 5, **said})


def finished(tryout: Tryout) -> Render:
    """The render of a try-out once a worker is through with the queue."""
    worker_process.drain("render.miniature")
    return Render.objects.get(pk=tryout.render.pk)


def refusal(actor: User | None, asked: TryoutRequest) -> LoraryError:
    """The refusal of a stack_of, of which nothing is kept."""
    before = Tryout.objects.count()
    with pytest.raises(LoraryError) as caught:
        tryouts.create(actor=actor, request=asked)  # type: ignore[arg-type]  # strangers ask as well
    assert Tryout.objects.count() == before
    return caught.value
