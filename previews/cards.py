"""The card that other sites show for a link to a version, drawn on request."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.covers import drawing
from previews.covers.selectors import covers_of
from previews.derived import Unreadable, card, opened
from previews.fonts import fonts
from previews.models import Image, Sample
from previews.pictures import services as pictures
from previews.pictures.selectors import Picture
from previews.renders.selectors import previews_of
from registry.models import Maturity, Version

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

#: Version of the drawing, part of the ETag.
DRAWING = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkCard:
    """The contents of a card: ``pictures`` at rising strength, or ``cover``, or a drawing."""

    version: Version
    pictures: Sequence[Picture] = ()
    cover: Picture | None = None

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
            [self.cover.url] if self.cover else [],
            not (self.pictures or self.cover) and drawing.shows_energy(self.version),
            self.version.revision.commit,
        ]
        return f'"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"'

    def png(self) -> bytes:
        """Return the card as PNG."""
        frames = tuple(self._frames())
        cover = self._cover() if self.cover and not frames else None
        drawn = card.Card(
            title=self.title,
            facts=self.facts,
            prompt=self.pictures[0].prompt if frames else "",
            frames=frames,
            cover=cover,
            shapes=() if frames or cover else tuple(drawing.shapes(self.version)),
            size=(drawing.WIDTH, drawing.HEIGHT),
        )
        return card.png(drawn, fonts())

    def _frames(self) -> Iterator[card.Frame]:
        rows = Image.objects.select_related("blob").in_bulk([one.id for one in self.pictures])
        for picture in self.pictures:
            label = f"{picture.strength:g}" if picture.strength else _("no adapter")
            try:
                yield card.Frame(opened(pictures.bytes_of(rows[picture.id].blob.sha256)), label)
            except (FileNotFoundError, Unreadable) as error:
                log.warning("picture %s is not on the card: %s", picture.id, error)

    def _cover(self) -> Pixels | None:
        """Return the cover; None if its bytes are missing."""
        cover = self.cover
        if cover is None:
            return None
        if cover.is_uploaded:
            sample = Sample.objects.select_related("blob", "poster").filter(pk=cover.id).first()
            blob = (sample.poster or sample.blob) if sample else None
        else:
            image = Image.objects.select_related("blob").filter(pk=cover.id).first()
            blob = image.blob if image else None
        try:
            return opened(pictures.bytes_of(blob.sha256)) if blob else None
        except (FileNotFoundError, Unreadable) as error:
            log.warning("the cover %s is not on the card: %s", cover.url, error)
            return None


def of(version: Version) -> LinkCard:
    """Return the card of a version.

    It shows pictures of one prompt and seed at some strengths, or the adapter's cover if that was
    chosen or nothing is rendered. Pictures that are blurred for some viewers are left out; without
    any, it shows the drawing.
    """
    adapter = version.adapter
    found = previews_of(version)
    is_complete = found.state == "ready" or found.is_renewal
    shown = [one for one in found.images if Maturity(one.maturity).is_for_all]
    cover = covers_of([adapter])[adapter.pk]
    if is_complete and shown and not (cover and cover.is_chosen):
        return LinkCard(version, _chosen(shown))
    is_for_all = cover is not None and Maturity(cover.maturity).is_for_all
    return LinkCard(version, cover=cover if is_for_all else None)


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
