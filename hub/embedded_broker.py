"""The embedded broker: kombu's messages in files that are written atomically.

```
<data>/broker/messages/<time>_<id>.<queue>.msg     waiting
<data>/broker/taken/<time>_<id>.<queue>.msg        being read, or read
```

kombu writes a message directly to the path where workers look for it, and a list of bindings that
every start reads. A process that is killed while writing leaves half a file, and every worker that
reads it crashes. Here a message is renamed into place, an unreadable one is skipped (the next poll
finds its job), and no bindings are stored: a queue, its exchange and its key have the same name.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

#: Prefix of the URLs of this broker.
SCHEME = "embedded"
#: Messages of a queue that wait at most. Each wakes a worker, which then runs all jobs that it can;
#: of a queue that no worker serves, one for each version would wait.
MOST_WAITING = 16

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Writes messages atomically and stores no bindings."""

    def get_table(  # type: ignore[override]  # the stubs of its bases differ
        self, exchange: str
    ) -> list[filesystem.exchange_queue_t]:
        """Return key, pattern and queue, which all have the name of the exchange."""
        return [filesystem.exchange_queue_t(exchange, "", exchange)]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """Do nothing: bindings follow from the names."""

    def _delete(self, queue: str, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - kombu's
        """Delete the messages of a queue; there is no binding to delete."""
        self._purge(queue)

    def _put(  # type: ignore[override]  # the stubs of its bases differ
        self,
        queue: str,
        message: object,
        **_kwargs: Any,  # noqa: ANN401 - kombu's
    ) -> None:
        """Write a message to a temporary name, then rename it to one that readers look for.

        Nothing is written if ``MOST_WAITING`` messages of the queue wait.
        """
        if self._waiting(self.data_folder_out, queue) >= MOST_WAITING:
            return
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        place = Path(self.data_folder_out) / name
        draft = place.with_name(f"{name}.new")
        try:
            draft.write_text(dumps(message), encoding="utf-8")
            draft.replace(place)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            text = f"cannot write a message: {os.strerror(error.errno or 0)}"
            raise ChannelError(text) from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401 - kombu's
        """Return the next readable message.

        Raises:
            Empty: there is none. Looked for ten times a second: kombu would sort all messages.
        """
        del timeout
        if not self._waiting(self.data_folder_in, queue):
            raise Empty
        while True:
            try:
                return super()._get(queue)
            except (ChannelError, ValueError) as error:
                log.warning("skipping a message of queue %s: %s", queue, error)

    @staticmethod
    def _waiting(folder: str, queue: str) -> int:
        """Return how many messages of a queue a folder has."""
        ending = f"{queue}.msg"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - ten times a second, without paths
        except OSError:
            return 0
        return sum(name.partition(".")[2] == ending for name in names)


class Transport(filesystem.Transport):
    """The transport for messages in the data directory."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
