"""Try-outs: stacks of versions that the hub renders without a download."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorary.client.errors import LoraryError, ReferenceInvalid, TimedOut
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session
from lorary.client.models import Image
from lorary.client.names import Reference
from lorary.client.progress import OnProgress, Progress

_POLL_S, _LONGEST_POLL_S = 0.5, 3.0
_TIMEOUT_S = 1800.0
_OPEN = frozenset({"queued", "running", "waiting"})


@dataclass(frozen=True, slots=True)
class Layer:
    """A version in a stack; without a strength, the recommended one is used."""

    reference: Reference
    strength: float | None = None

    @classmethod
    def parse(cls, text: str | Layer) -> Layer:
        """Read ``owner/name[@version][:strength]``.

        Raises:
            ReferenceInvalid: the text does not have this form.
        """
        if isinstance(text, Layer):
            return text
        name, colon, dial = text.partition(":")
        try:
            strength = float(dial) if colon else None
        except ValueError as error:
            message = f"“{text[:200]}”: “:” must be followed by a strength, such as 0.8."
            raise ReferenceInvalid(message) from error
        return cls(Reference.parse(name), strength)

    def to_json(self) -> dict[str, object]:
        """Return the layer in the format of the API."""
        document: dict[str, object] = {"adapter": self.reference.full_name}
        if self.reference.rev:
            document["version"] = self.reference.rev
        if self.strength is not None:
            document["strength"] = self.strength
        return document


@dataclass(frozen=True, slots=True)
class Tryout:
    """A try-out and its pictures; ``done`` and ``total`` count steps.

    Attributes:
        key: Its id on the hub.
        url: Its page; other users can open it only if it is shared.
        state: queued, running, waiting, ready or failed.
        reason: Why it waits or failed.
        seed: The seed, given or chosen by the hub.
        prompt: The full prompt, including trigger words.
        images: The pictures that are ready.
        done: Steps done.
        total: Total number of steps.
        data: The whole JSON document.
    """

    key: str
    url: str
    state: str
    reason: str
    seed: int
    prompt: str
    images: tuple[Image, ...]
    done: int
    total: int
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, value: object) -> Tryout:
        """Read a TRYOUT."""
        record = Record(value, "try-out")
        progress = Record(record.mapping("progress"), "progress")
        recipe = Record(record.mapping("recipe"), "recipe")
        seeds, prompts = recipe.items("seeds"), recipe.texts("prompts")
        return record.into(
            cls,
            seed=seeds[0] if seeds and isinstance(seeds[0], int) else 0,
            prompt=prompts[0] if prompts else "",
            images=tuple(Image.read(item) for item in record.items("images")),
            done=progress.whole("done"),
            total=progress.whole("total"),
        )

    @property
    def is_open(self) -> bool:
        """Whether it is still queued, waiting or running."""
        return self.state in _OPEN

    @property
    def waits_for(self) -> str:
        """What it waits for besides its turn (“for a worker …”); empty if nothing."""
        queue = self.data.get("queue")
        if self.state == "queued" and isinstance(queue, dict) and queue.get("workers") == 0:
            return "for a worker for its base model"
        return self.reason.removeprefix("waiting ") if self.state == "waiting" else ""


def ask(session: Session, layers: Sequence[str | Layer], settings: Mapping[str, object]) -> Tryout:
    """Request a picture of a stack; the hub chooses values that are None."""
    stack = [Layer.parse(layer).to_json() for layer in layers]
    data = {"layers": stack} | {key: value for key, value in settings.items() if value is not None}
    return Tryout.read(session.json("POST", "tryouts", data=data))


def wait(session: Session, tryout: Tryout, on_progress: OnProgress) -> Tryout:
    """Poll until the picture is ready.

    Raises:
        LoraryError: ``render_failed``, with the hub's reason.
        TimedOut: not ready after half an hour; the hub continues to render it.
    """
    deadline, pause = time.monotonic() + _TIMEOUT_S, _POLL_S
    while tryout.is_open:
        if time.monotonic() > deadline:
            message = f"The picture is not ready yet. The hub is still rendering it: {tryout.url}"
            raise TimedOut(message)
        on_progress(_progress(tryout))
        session.backoff.sleep(pause)
        pause = min(_LONGEST_POLL_S, pause * 1.3)
        tryout = Tryout.read(session.json("GET", f"tryouts/{tryout.key}"))
    if tryout.state != "ready":
        raise LoraryError(tryout.reason, code="render_failed")
    return tryout


def _progress(tryout: Tryout) -> Progress:
    if tryout.waits_for:
        return Progress("wait", tryout.waits_for, 0, 0)
    return Progress("render", "the stack", tryout.done, tryout.total)


def remove(session: Session, tryout: Tryout) -> None:
    """Cancel a try-out and delete its pictures."""
    session.json("DELETE", f"tryouts/{tryout.key}")


def media(session: Session, url: str) -> bytes:
    """Return the bytes of a picture, requested at the hub address that this client uses."""
    _root, mark, rest = url.partition("/media/")
    return session.read(Request("GET", f"{session.endpoint}/media/{rest}" if mark else url))
