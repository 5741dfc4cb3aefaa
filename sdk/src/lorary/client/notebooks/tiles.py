"""HTML of adapters, versions and packs for notebooks (``_repr_html_``).

All texts are escaped. There are no scripts and no style sheets; colours are those of the notebook,
so that light and dark themes work. The browser loads the pictures from the hub. The length is
bounded: texts are cut, and lists show their first entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Most adapters or packs of a list.
MOST_TILES = 12
_MOST_PICTURES = 6
_MOST_WORDS = 6
_MOST_FACTS = 24
_MOST_TEXT = 100
_MOST_URL = 500
_PICTURE_PX = 180
_WIDTHS = range(_PICTURE_PX, 801)  # of thumbnails
#: Content ratings whose pictures are shown.
_SHOWN = frozenset({"", "general", "suggestive"})
_LINE = "1px solid rgba(128,128,128,.4)"
_MUTED = "opacity:.75;font-size:.85em"


@dataclass(frozen=True)
class Picture:
    """A picture of a tile.

    Attributes:
        url: Its address.
        text: What stands for it where it cannot be loaded.
    """

    url: str
    text: str

    def html(self) -> str:
        """Return the element."""
        return (
            f'<img src="{escape(self.url)}" alt="{_text(self.text)}" loading="lazy" '
            f'referrerpolicy="no-referrer" width="{_PICTURE_PX}" height="{_PICTURE_PX}" '
            'style="object-fit:cover;border-radius:4px;margin:0">'
        )


@dataclass(frozen=True)
class Tile:
    """What is shown of one adapter, version or pack.

    Attributes:
        name: Its name.
        url: The address of its page.
        title: Its title; empty for none.
        facts: Short texts.
        words: Trigger words or tags.
        pictures: Its pictures.
        note: Why there are no pictures; empty if nobody needs to know.
    """

    name: str
    url: str
    title: str = ""
    facts: Sequence[str] = ()
    words: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    note: str = ""

    def html(self) -> str:
        """Return the element."""
        return f'<div style="border:{_LINE};border-radius:6px;padding:8px">{self._inner()}</div>'

    def _inner(self) -> str:
        name = _text(self.name)
        if _is_web(self.url):
            how = 'target="_blank" rel="noopener noreferrer" style="color:inherit"'
            name = f'<a href="{escape(self.url)}" {how}>{name}</a>'
        rows = [f"<strong>{name}</strong>"]
        if pictures := "".join(one.html() for one in self.pictures[:_MOST_PICTURES]):
            row = "display:flex;flex-wrap:wrap;gap:6px;margin:6px 0"
            rows.append(f'<div style="{row}">{pictures}</div>')
        if self.title and self.title != self.name:
            rows.append(f"<div>{_text(self.title)}</div>")
        facts = [_text(fact) for fact in (*self.facts[:_MOST_FACTS], self.note) if fact]
        if facts:
            rows.append(f'<div style="{_MUTED}">{" · ".join(facts)}</div>')
        if self.words:
            words = " ".join(f"<code>{_text(word)}</code>" for word in self.words[:_MOST_WORDS])
            more = " …" if len(self.words) > _MOST_WORDS else ""
            rows.append(f"<div>{words}{more}</div>")
        return "".join(rows)


def listed(tiles: Sequence[Tile], *, has_more: bool, failure: str = "") -> str:
    """Return the HTML of a list.

    Args:
        tiles: The first of its entries.
        has_more: Whether there are others.
        failure: Why the others could not be requested.
    """
    note = failure or ("There are more." if has_more else "")
    if not tiles:
        return f"<p>{_text(note or 'Nothing was found.')}</p>"
    shown = "".join(tile.html() for tile in tiles[:MOST_TILES])
    more = f'<p style="{_MUTED}">{_text(note)}</p>' if note else ""
    columns = f"repeat(auto-fill,minmax({_PICTURE_PX + 20}px,1fr))"
    return f'<div style="display:grid;gap:10px;grid-template-columns:{columns}">{shown}</div>{more}'


def cover_of(data: Mapping[str, object], text: str) -> tuple[tuple[Picture, ...], str]:
    """Return the cover of an adapter or a pack as JSON, and why none is shown."""
    cover = data.get("cover_picture")
    details = cover if isinstance(cover, Mapping) else {}
    rating = str(details.get("maturity") or data.get("maturity") or "")
    if rating not in _SHOWN:
        return (), f"{rating}: picture not shown"
    if data.get("visibility") == "private":  # browsers have no token for it
        return (), "private"
    url = _thumbnail(details) or str(data.get("cover") or "")
    return ((Picture(url, f"Cover of {text}"),) if _is_web(url) else ()), ""


def previews_of(images: object) -> Iterator[Picture]:
    """Yield pictures of a version's previews, as JSON."""
    for image in images if isinstance(images, list) else []:
        if not isinstance(image, Mapping):
            continue
        rating = str(image.get("maturity") or "")
        url = _thumbnail(image) or str(image.get("url") or "")
        if rating in _SHOWN and _is_web(url):
            yield Picture(url, f"{image.get('prompt', '')}, strength {image.get('strength', '')}")


def _thumbnail(picture: Mapping[str, object]) -> str:
    """Return the address of the smallest WebP that is wide enough; empty if there is none."""
    sources = picture.get("sources")
    found = [
        (width, str(one.get("url") or ""))
        for one in (sources if isinstance(sources, list) else [])
        if isinstance(one, Mapping) and one.get("type") == "image/webp"
        if isinstance(width := one.get("width"), int) and width in _WIDTHS
    ]
    return next((url for _, url in sorted(found) if _is_web(url)), "")


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://")) and len(url) <= _MOST_URL


def _text(text: str) -> str:
    return escape(text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…")
