"""Parts that are sent directly to the bucket, by links from the hub.

If a link does not work, that part and all later ones are sent through the hub.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from lorary.client.errors import Corrupt, FileMissing, LoraryError
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session

#: Links per request: few enough that none expires before it is used.
_AT_ONCE = 20


class DirectParts:
    """Links for the parts of one upload; safe to use from several threads."""

    def __init__(self, session: Session, url: object, numbers: Sequence[int]) -> None:
        """Store the arguments; links are requested when needed.

        Args:
            url: URL to request links from; None if the hub offers none.
        """
        self.session, self.url = session, url if isinstance(url, str) else ""
        self._numbers = list(numbers) if self.url else []
        self._links: dict[int, str] = {}
        self._lock = threading.Lock()

    def send(self, number: int, body: Callable[[], Iterable[memoryview]], size: int) -> bool:
        """Send a part by its link; return False if it must be sent through the hub.

        Raises:
            Corrupt, FileMissing: the local file has changed.
        """
        link = self._link(number)
        if not link:
            return False
        try:
            self.session.ask(Request("PUT", link, {}, body=body, size_bytes=size))
        except (Corrupt, FileMissing):
            raise
        except LoraryError:
            self._give_up()
            return False
        return True

    def _link(self, number: int) -> str:
        with self._lock:
            if number not in self._links and number in self._numbers:
                self._ask_from(number)
            return self._links.pop(number, "")

    def _ask_from(self, number: int) -> None:
        begin = self._numbers.index(number)
        wanted, self._numbers = self._numbers[begin : begin + _AT_ONCE], self._numbers[begin:]
        try:
            answer = self.session.json(
                "POST", self.url, data={"numbers": wanted}, is_repeatable=True
            )
            found = [Record(item, "link") for item in Record(answer, "links").items("links")]
            self._links.update({link.whole("number"): link.text("url") for link in found})
        except LoraryError:
            self._numbers = []

    def _give_up(self) -> None:
        with self._lock:
            self._numbers, self._links = [], {}
