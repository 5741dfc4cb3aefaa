"""The card that other sites show for a link to a version, drawn on request."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews import cover
from previews.derived import Unreadable, card, opened
from previews.fonts import fonts
from previews.models import Image
from previews.pictures import services as pictures
from previews.pictures.selectors import Picture
from previews.renders.selectors import previews_of
from registry.models import Maturity, Version

#: Version of the drawing, part of the ETag.
DRAWING = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkCard:
    """The contents of a card."""

    version: Version
    pictures: Sequence[Picture]

    @property
    def title(self) -> str:
        """Title of the adapter."""
        return self.version.adapter.display_title

    @property
    def facts(self) -> str:
        """Owner, kind, base model, version and content rating."""
        adapter = self.version.adapter
        kind = adapter.get_kind_display().lower()
        is_for_all = Maturity(adapter.maturity).is_for_all
        rating = "" if is_for_all else adapter.get_maturity_display().lower()
        family = family_title(self.version.family)
        parts = [adapter.owner, kind, family, self.version.name, rating]
        return " · ".join(word for word in parts if word)

    @property
    def etag(self) -> str:
        """Strong ETag; it does not need the drawing."""
        parts = [
            DRAWING,
            self.title,
            self.facts,
            [[one.id, one.prompt, one.strength] for one in self.pictures],
            self.version.revision.commit,
        ]
        return f'"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"'

    def png(self) -> bytes:
        """Draw the card with pictures, or with the cover if there are none."""
        frames = tuple(self._frames())
        drawn = card.Card(
            title=self.title,
            facts=self.facts,
            prompt=self.pictures[0].prompt if frames else "",
            frames=frames,
            shapes=() if frames else tuple(cover.shapes(self.version)),
            side=cover.SIDE,
        )
        return card.png(drawn, fonts())

    def _frames(self) -> Iterator[card.Frame]:
        rows = Image.objects.select_related("blob").in_bulk([one.id for one in self.pictures])
        for picture in self.pictures:
            label = f"{picture.strength:g}" if picture.strength else _("no adapter")
            try:
                yield card.Frame(opened(pictures.bytes_of(rows[picture.id].blob)), label)
            except (FileNotFoundError, Unreadable) as error:
                log.warning("picture %s is not on the card: %s", picture.id, error)


def of(version: Version) -> LinkCard:
    """Return the card of a version, with pictures of one prompt and seed at some strengths.

    Pictures that are not for all viewers are left out; without any, it shows the cover drawn from
    the weights.
    """
    found = previews_of(version)
    is_complete = found.state == "ready" or found.is_renewal
    shown = [one for one in found.images if Maturity(one.maturity).is_for_all]
    return LinkCard(version, _chosen(shown) if is_complete and shown else ())


def _chosen(pictures: Sequence[Picture]) -> list[Picture]:
    """Return up to four pictures of the first prompt and seed, evenly spread over strengths."""
    row = sorted(
        (one for one in pictures if (one.prompt, one.seed) == _scene(pictures[0])),
        key=lambda one: one.strength,
    )
    count = min(card.FRAMES, len(row))
    places = [round(index * (len(row) - 1) / max(1, count - 1)) for index in range(count)]
    return [row[place] for place in places]


def _scene(picture: Picture) -> tuple[str, int]:
    return picture.prompt, picture.seed
