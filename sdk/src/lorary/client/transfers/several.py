"""Pulls several versions and packs at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lorary.client.errors import LoraryError
from lorary.client.progress import OnProgress, Progress
from lorary.client.transfers.parallel import each

if TYPE_CHECKING:
    from lorary.client.transfers.pack_pulling import PulledPack
    from lorary.client.transfers.pulling import Pulled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of several references: either ``pulled`` or ``error`` is set."""

    reference: str
    pulled: Pulled | PulledPack | None = None
    error: LoraryError | None = None


def pull_all(
    references: Sequence[str],
    pull: Callable[[str, OnProgress], Pulled | PulledPack],
    *,
    on_progress: OnProgress,
    jobs: int,
    abort: Callable[[], None],
) -> Iterator[Outcome]:
    """Yield the outcome of each reference, in order; see `lorary.client.hub.Hub.pull_all`."""
    waiting = list(dict.fromkeys(references))
    is_one_of_several = len(waiting) > 1

    def work(reference: str, report: OnProgress) -> Pulled | PulledPack:
        def named(update: Progress) -> None:
            report(replace(update, name=f"{reference} {update.name}"))

        return pull(reference, named if is_one_of_several else report)

    done: dict[str, Outcome] = {}
    results = each(waiting, work, on_progress=on_progress, jobs=jobs, abort=abort)
    for reference, result in results:
        if isinstance(result, LoraryError):
            done[reference] = Outcome(reference, error=result)
        else:
            done[reference] = Outcome(reference, result)
        while waiting and waiting[0] in done:
            yield done.pop(waiting.pop(0))
