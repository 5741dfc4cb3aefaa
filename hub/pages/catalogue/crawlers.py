"""``/robots.txt``, the sitemap, ``security.txt`` and the icon: what programs ask for by name.

```
/robots.txt
/sitemap.xml              an index of
├── /sitemap.xml?adapters=0   listed adapters with the ids 0 to 9,999
├── /sitemap.xml?adapters=1   … 10,000 to 19,999
├── /sitemap.xml?packs=0      listed packs
└── /sitemap.xml?owners=0     owners of listed adapters
```

A file covers a range of ids, so each takes one query over its own rows. The sitemaps of Django
count all rows for the index and skip those of the files before (``OFFSET``).

Source: RFC 9309 (robots.txt), RFC 9116 (security.txt), https://www.sitemaps.org/protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from django.conf import settings
from django.db.models import Exists, Max, Model, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.http.middleware import FOR_AN_HOUR
from hub.pages import links
from registry.errors import NotFound
from registry.models import Adapter, Namespace, Pack

#: How long a copy of security.txt is valid; RFC 9116 recommends less than a year.
SECURITY_TXT_LASTS = timedelta(days=180)
#: Number of ids in a file; the protocol allows 50,000 URLs.
IDS_PER_FILE = 10_000
#: Ids have at most ten digits.
_NUMBER = re.compile("[0-9]{1,6}")

#: Lists with filters have endless addresses, and the sitemap contains every adapter; downloads are
#: not for search engines.
DISALLOWED = ("/api/", "/browse?", "/compare?", "/xet/", "/*/resolve/", "/*.git/")
#: Pages that need an account or are useless without one. Names of owners can begin the same way.
FORMS = (
    "admin", "mixer", "operator", "publish", "settings", "signin", "signout", "signup", "try",
    "uploads",
)  # fmt: skip

_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"

Entry = tuple[str, datetime | None]


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Send ``robots.txt``; with ``LORARY_SEARCH_ENGINES=no`` it disallows everything."""
    lines = ["User-agent: *"]
    if settings.LORARY.search_engines:
        forms = [f"/{name}{end}" for name in FORMS for end in ("$", "?", "/")]
        lines += [f"Disallow: {path}" for path in (*DISALLOWED, *forms)]
        lines += ["", f"Sitemap: {links.address(request)}{reverse('sitemap')}"]
    else:
        lines += ["Disallow: /"]
    return _answer("\n".join(lines) + "\n", "text/plain; charset=utf-8")


@require_safe
def favicon(_request: HttpRequest) -> HttpResponse:
    """Redirect to the icon of the site; browsers ask for it on pages that do not name one."""
    answer = HttpResponseRedirect(static("icon.svg"))
    answer["Cache-Control"] = FOR_AN_HOUR
    return answer


@require_safe
def sitemap(request: HttpRequest) -> HttpResponse:
    """Send the index of the sitemap, or one of its files.

    Raises:
        NotFound: the file does not exist, or search engines are disabled.
    """
    if not settings.LORARY.search_engines:
        raise NotFound
    root = links.address(request)
    if not request.GET:
        files = [(f"{root}{request.path}?{one}", None) for one in _files()]
        return _xml("sitemapindex", "sitemap", files)
    name, number = next(iter(request.GET.dict().items()))
    entries = {"adapters": _adapters, "packs": _packs, "owners": _owners}.get(name)
    if entries is None or not _NUMBER.fullmatch(number):
        raise NotFound(_("There is no such sitemap."))
    found = entries(int(number) * IDS_PER_FILE)
    found = ((f"{root}{path}", changed_at) for path, changed_at in found)
    return _xml("urlset", "url", found)


def _files() -> Iterator[str]:
    """Yield the query strings of all files."""
    kinds: dict[str, type[Model]] = {"adapters": Adapter, "packs": Pack, "owners": Namespace}
    for name, model in kinds.items():
        largest = model._default_manager.aggregate(id=Max("pk"))["id"]  # noqa: SLF001 - Django's API
        if largest is not None:
            yield from (f"{name}={number}" for number in range(largest // IDS_PER_FILE + 1))


def _adapters(first: int) -> Iterator[Entry]:
    """Yield path and time of change of the listed adapters from an id on."""
    return _listed(Adapter.objects.listed_for(None), "adapter", first)


def _packs(first: int) -> Iterator[Entry]:
    """Yield path and time of change of the listed packs from an id on."""
    return _listed(Pack.objects.listed_for(None), "pack", first)


def _listed(rows: QuerySet[Adapter] | QuerySet[Pack], page: str, first: int) -> Iterator[Entry]:
    rows = rows.filter(pk__gte=first, pk__lt=first + IDS_PER_FILE)
    columns = ("namespace__name", "name", "updated_at")
    for owner, name, changed_at in rows.order_by("pk").values_list(*columns):
        yield reverse(page, args=[owner, name]), changed_at


def _owners(first: int) -> Iterator[Entry]:
    """Yield the paths of profiles with listed adapters from an id on."""
    rows = Namespace.objects.filter(pk__gte=first, pk__lt=first + IDS_PER_FILE)
    # The condition is checked for the namespaces of this file only.
    listed = Adapter.objects.listed_for(None).filter(namespace=OuterRef("pk"))
    for owner in rows.filter(Exists(listed)).order_by("pk").values_list("name", flat=True):
        yield reverse("profile", args=[owner]), None


def _xml(root: str, item: str, entries: Iterable[Entry]) -> HttpResponse:
    lines = [
        f"<{item}><loc>{escape(url)}</loc>"
        + (f"<lastmod>{changed_at.isoformat(timespec='seconds')}</lastmod>" if changed_at else "")
        + f"</{item}>\n"
        for url, changed_at in entries
    ]
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_NAMESPACE}">\n'
    return _answer(f"{head}{''.join(lines)}</{root}>\n", "application/xml")


def _answer(text: str, content_type: str) -> HttpResponse:
    return HttpResponse(text, content_type=content_type, headers={"Cache-Control": FOR_AN_HOUR})


@require_safe
def security(request: HttpRequest) -> HttpResponse:
    """Say where to report vulnerabilities in this hub; absent without such an address."""
    contact = settings.LORARY.security_contact
    if not contact:
        raise NotFound(_("There is nothing at this address."))
    is_mail = "@" in contact and ":" not in contact
    expires = (timezone.now() + SECURITY_TXT_LASTS).replace(minute=0, second=0, microsecond=0)
    lines = [
        f"Contact: {'mailto:' if is_mail else ''}{contact}",
        f"Expires: {expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"Preferred-Languages: {settings.LANGUAGE_CODE}",
        f"Canonical: {links.address(request)}{request.path}",
    ]
    return _answer("\n".join(lines) + "\n", "text/plain; charset=utf-8")
