"""What a browser would send if a user changed nothing in a form."""

from __future__ import annotations

from html.parser import HTMLParser


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.required: list[str] = []
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        name = at.get("name", "")
        if "required" in at:
            self.required.append(name)
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            if "selected" in at or self._select not in self.values:
                self.values[self._select] = [at.get("value", "")]
        elif tag == "textarea":
            self._area = name
            self.values[name] = [""]
        elif tag == "input" and name and (at.get("type") != "checkbox" or "checked" in at):
            self.values.setdefault(name, []).append(at.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] = [self.values[self._area][0] + data]


def fields_of(page: str) -> dict[str, list[str]]:
    """Return name → values of the publish form in a page."""
    return _parsed(page).values


def required_in(page: str) -> list[str]:
    """Return the names of the fields that a browser does not let anybody leave empty."""
    return _parsed(page).required


def _parsed(page: str) -> _Fields:
    _before, start, rest = page.partition('<form class="stack g0" id="sheet-')
    assert start, "no publish form"
    fields = _Fields()
    fields.feed(start + rest.partition("</form>")[0])
    return fields
