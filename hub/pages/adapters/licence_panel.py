"""The licence of an adapter as permissions."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registry.adapters.licences import CONDITIONS, NO, YES, licence_of

#: Field of a licence → its title.
PERMISSION_TITLES = {
    "commercial": gettext_lazy("Commercial use"),
    "pictures": gettext_lazy("Sell pictures"),
    "changes": gettext_lazy("Share changes and merges"),
}


@dataclass(frozen=True, slots=True)
class Permission:
    """What a licence says about one aspect; ``icon`` is the name of an icon."""

    title: str
    answer: str
    icon: str


@dataclass(frozen=True, slots=True)
class LicencePanel:
    """A licence; ``permissions`` is empty for one that the hub does not know."""

    text: str
    title: str
    url: str
    permissions: list[Permission]


def licence_panel(text: str) -> LicencePanel | None:
    """Return the licence as the page shows it; None if none is stated."""
    if not text:
        return None
    licence = licence_of(text)
    if licence is None:
        return LicencePanel(text, text, "", [])
    permissions = [
        _permission(str(title), getattr(licence, name)) for name, title in PERMISSION_TITLES.items()
    ]
    if licence.credit:
        is_needed = licence.credit == YES
        answer = _("required") if is_needed else _("not required")
        permissions.append(Permission(_("Credit"), answer, "arrow" if is_needed else "check"))
    if licence.same_terms:
        permissions.append(Permission(_("Changes keep its terms"), _("required"), "arrow"))
    return LicencePanel(text, licence.title or text, licence.url, permissions)


def _permission(title: str, answer: str) -> Permission:
    answers = {YES: _("yes"), NO: _("no"), CONDITIONS: _("with conditions")}
    icons = {YES: "check", NO: "x", CONDITIONS: "arrow"}
    return Permission(title, answers.get(answer, _("not stated")), icons.get(answer, "arrow"))
