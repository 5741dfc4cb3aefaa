"""What well-known licences allow, for pages and clients. A summary, not legal advice.

The table has licences of SPDX and of base models, by the ids that Hugging Face and Civitai use. The
source of each row is the text of the licence at its ``url``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import compress

YES, NO, CONDITIONS, SILENT = "yes", "no", "conditions", ""


@dataclass(frozen=True, slots=True)
class Licence:
    """A summary of a licence. Permissions are ``YES``, ``NO``, ``CONDITIONS`` or ``SILENT``.

    Attributes:
        title: Its name.
        url: Address of its text; "" if there is none.
        commercial: Use of the adapter in commercial products and services.
        pictures: Sale of pictures made with it.
        changes: Publication of changed versions and merges.
        credit: ``YES`` if the author has to be named or the notice kept.
        same_terms: Whether changed versions have to keep the licence or its restrictions.
    """

    title: str
    url: str
    commercial: str
    pictures: str
    changes: str
    credit: str = YES
    same_terms: bool = False


_CC = "https://creativecommons.org/licenses"
_SPDX = "https://spdx.org/licenses"
_RAIL = (CONDITIONS, CONDITIONS, CONDITIONS, YES, True)

_ROWS: tuple[tuple[tuple[str, ...], Licence], ...] = (
    (("cc0-1.0",), Licence(
        "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/", YES, YES, YES, credit=NO
    )),
    (("unlicense",), Licence("Unlicense", f"{_SPDX}/Unlicense.html", YES, YES, YES, credit=NO)),
    (("wtfpl",), Licence("WTFPL", f"{_SPDX}/WTFPL.html", YES, YES, YES, credit=NO)),
    (("mit",), Licence("MIT", f"{_SPDX}/MIT.html", YES, YES, YES)),
    (("apache-2.0",), Licence("Apache 2.0", f"{_SPDX}/Apache-2.0.html", YES, YES, YES)),
    (("bsd-2-clause",), Licence("BSD 2-Clause", f"{_SPDX}/BSD-2-Clause.html", YES, YES, YES)),
    (("bsd-3-clause",), Licence("BSD 3-Clause", f"{_SPDX}/BSD-3-Clause.html", YES, YES, YES)),
    (("gpl-3.0",), Licence(
        "GPL 3.0", f"{_SPDX}/GPL-3.0-only.html", YES, YES, YES, same_terms=True
    )),
    (("agpl-3.0",), Licence(
        "AGPL 3.0", f"{_SPDX}/AGPL-3.0-only.html", YES, YES, YES, same_terms=True
    )),
    (("cc-by-4.0",), Licence("CC BY 4.0", f"{_CC}/by/4.0/", YES, YES, YES)),
    (("cc-by-3.0",), Licence("CC BY 3.0", f"{_CC}/by/3.0/", YES, YES, YES)),
    (("cc-by-sa-4.0",), Licence(
        "CC BY-SA 4.0", f"{_CC}/by-sa/4.0/", YES, YES, YES, same_terms=True
    )),
    (("cc-by-nd-4.0",), Licence("CC BY-ND 4.0", f"{_CC}/by-nd/4.0/", YES, YES, NO)),
    (("cc-by-nc-4.0",), Licence("CC BY-NC 4.0", f"{_CC}/by-nc/4.0/", NO, NO, YES)),
    (("cc-by-nc-sa-4.0",), Licence(
        "CC BY-NC-SA 4.0", f"{_CC}/by-nc-sa/4.0/", NO, NO, YES, same_terms=True
    )),
    (("cc-by-nc-nd-4.0",), Licence("CC BY-NC-ND 4.0", f"{_CC}/by-nc-nd/4.0/", NO, NO, NO)),
    # Use is restricted by an attachment, whose restrictions changed versions have to pass on.
    (("creativeml-openrail-m", "openrail", "openrail-m"), Licence(
        "CreativeML OpenRAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license", *_RAIL,
    )),
    (("openrail++", "creativeml-openrail++-m"), Licence(
        "CreativeML Open RAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        *_RAIL,
    )),
    # Changed versions, also if they are only offered as a service, have to be shared.
    (("fair-ai-public-license-1.0-sd", "faipl-1.0-sd"), Licence(
        "Fair AI Public License 1.0-SD", "https://freedevproject.org/faipl-1.0-sd/",
        CONDITIONS, CONDITIONS, CONDITIONS, same_terms=True,
    )),
    # Section 2 allows commercial use of outputs, except for training competing models.
    (("flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial"), Licence(
        "FLUX.1 [dev] Non-Commercial",
        "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        NO, CONDITIONS, CONDITIONS, same_terms=True,
    )),
    # Free below a revenue of a million US dollars a year.
    (("stabilityai-ai-community", "stability-ai-community"), Licence(
        "Stability AI Community", "https://stability.ai/community-license-agreement",
        CONDITIONS, CONDITIONS, CONDITIONS, same_terms=True,
    )),
    (("personal use only",), Licence("", "", NO, NO, SILENT, credit=SILENT)),
)  # fmt: skip

#: Permissions that lists filter by, in the order of ``Adapter.permissions``.
PERMISSIONS = ("commercial", "pictures", "changes", "no_credit")

#: Id in lower case → licence.
LICENCES: Mapping[str, Licence] = {key: licence for keys, licence in _ROWS for key in keys}


def licence_of(text: str) -> Licence | None:
    """Return the licence for an id, ignoring case; None for an unknown text."""
    return LICENCES.get(text.strip().casefold())


def permissions_of(text: str) -> str:
    """Return what a licence permits, even if only under conditions, as ``commercial+changes``.

    Adapters store the result. After a change of the table, ``manage.py facets rebuild`` renews it.
    """
    licence = licence_of(text)
    if licence is None:
        return ""
    answers = (licence.commercial, licence.pictures, licence.changes)
    is_permitted = [*(one in (YES, CONDITIONS) for one in answers), licence.credit == NO]
    return "+".join(compress(PERMISSIONS, is_permitted))


def sets_with(permissions: Iterable[str]) -> list[str]:
    """Return the results of ``permissions_of`` that include some permissions."""
    known = {permissions_of(key) for key in LICENCES}
    return sorted(one for one in known if set(permissions) <= set(one.split("+")))
