"""The embedded broker: kombu's messages in files, each there as a whole or not at all.

```
<data>/broker/messages/<time>_<id>.<queue>.msg     waiting
<data>/broker/taken/<time>_<id>.<queue>.msg        being read, or read
```

kombu writes into the very file that a worker looks for, and a list of bindings that every start
reads. A process killed in the middle of either leaves half a file, and each worker that reads it
ends. Here a message is renamed into place, what cannot be read is passed over (a lost wake-up costs
a sweep), and no bindings are written down: a queue, its exchange and its key have one name.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

#: How addresses of this broker begin.
SCHEME = "embedded"

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Whole messages, no bindings."""

    def get_table(  # type: ignore[override]  # the stubs of its bases differ
        self, exchange: str
    ) -> list[filesystem.exchange_queue_t]:
        """Return key, pattern and queue: all have the name of the exchange."""
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """Write nothing down."""

    def _delete(self, queue: str, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - kombu's
        """Remove what waits in a queue; there is no binding to remove."""
        self._purge(queue)

    def _put(  # type: ignore[override]  # the stubs of its bases differ
        self,
        queue: str,
        message: object,
        **_kwargs: Any,  # noqa: ANN401 - kombu's
    ) -> None:
        """Write beside, then rename: readers look for names that end like those of messages."""
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        place = Path(self.data_folder_out) / name
        draft = place.with_name(f"{name}.new")
        try:
            draft.write_text(dumps(message), encoding="utf-8")
            draft.replace(place)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            text = f"a message cannot be written: {os.strerror(error.errno or 0)}"
            raise ChannelError(text) from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - kombu's
        """Return the next message that can be read; kombu raises Empty after the last."""
        del timeout
        while True:
            try:
                return super()._get(queue)
            except (ChannelError, ValueError) as error:
                log.warning("a message of queue %s is passed over: %s", queue, error)


class Transport(filesystem.Transport):
    """Files in the data directory."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
