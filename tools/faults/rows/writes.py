"""Random changes of adapters through the services. Needs Django's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, Kind, User, Version, VersionState
from registry.versions import services as versions
from registry.versions import withdraw
from tests import catalogue
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from random import Random

#: What is done to an adapter, and how often one is against the others.
_CHANGES = {"edited": 10, "renamed": 3, "published": 4, "yanked": 2, "restored": 2, "withdrawn": 1}
LICENCES = ("mit", "openrail", "apache-2.0", "")


def write(random: Random, number: int, word: str) -> str:
    """Change an adapter, or make it, and return what was done.

    Raises:
        LoraryError: it cannot be done, because of what another writer did meanwhile.
    """
    actor = catalogue.ada()
    adapter = Adapter.objects.filter(key__startswith=f"a{number}-", withdrawn_reason="").first()
    if adapter is None:
        adapters.create(actor=actor, name=f"a{number}-{word}", title=word, tags=[word])
        return "created"
    (change,) = random.choices(list(_CHANGES), weights=list(_CHANGES.values()))
    version = adapter.versions.exclude(state=VersionState.WITHDRAWN).order_by("?").first()
    if change == "published":
        catalogue.release(adapter, random.choice((LORA, OTHER)))
    elif change == "renamed":
        adapters.rename(actor=actor, adapter=adapter, name=f"a{number}-{word}")
    elif change == "edited" or version is None:
        return _edit(random, actor, adapter, word)
    else:
        _change(change, actor, version, word)
    return change


def _edit(random: Random, actor: User, adapter: Adapter, word: str) -> str:
    cards.edit_adapter(
        actor=actor,
        adapter=adapter,
        title=word,
        kind=random.choice(Kind.values),
        licence=random.choice(LICENCES),
        visibility=random.choice(("public", "public", "private", "unlisted")),
        tags=[word, f"tag{random.randrange(20)}"],
        card=f"{word} " * 50,
    )
    return "edited"


def _change(change: str, actor: User, version: Version, reason: str) -> None:
    if change == "yanked":
        versions.yank(actor=actor, version=version, reason=reason)
    elif change == "restored":
        versions.restore(actor=actor, version=version)
    else:
        withdraw.withdraw(actor=actor, version=version, reason=reason)
