"""``manage.py storage``: shows, verifies, copies, mends and moves the stored files."""

from __future__ import annotations

import json
import os
import random
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hub.config import save_move
from hub.management.options import whole_number
from hub.management.progress import MEND, Help, Meter, listed, problem_lines
from hub.operations import process_lock
from hub.operations.failures import place_problem
from hub.plurals import counted, size_text
from hub.setting_checks import TAG, is_same_store
from registry import events, storage
from registry.blobs import migrate_store
from registry.blobs.migrate_store import Tally
from registry.errors import LoraryError, StorageAway, StorageFull
from registry.storage import BlobStore
from registry.uploads import store_change
from registry.uploads.store_change import MovedUploads

Document = dict[str, Any]

EPILOG = """\
status  location, number of files, missing and unreferenced files (the default)
verify  read files and compare their sha256: 100 of them, --sample N or --all. With --at and
        --all, it also reads files that only old backups have
copy    copy every file to another store and verify it there; repeatable, while the hub runs
mend    verify every file, and copy missing or damaged ones from another store (--from)
move    with the hub stopped: copy the remaining files and the open uploads, verify that every
        file exists, and switch to the new store

A URL is what LORARY_STORAGE takes: file:///path or s3://bucket/prefix?endpoint=…

Exit code 1: something is missing or damaged, or could not be copied.

Example: manage.py storage copy --to 's3://studio/lorary?endpoint=https://s3.studio.example'
"""

#: Number of files that are verified by default.
SAMPLE = 100


class Command(BaseCommand):
    help = "Show where files are stored and verify them; copy or move them to another store."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog, parser.formatter_class = EPILOG, Help
        verbs = ("status", "verify", "mend", "copy", "move")
        parser.add_argument("verb", nargs="?", default="status", choices=verbs, help="see below")
        parser.add_argument("--to", metavar="URL", help="target of copy and move")
        parser.add_argument(
            "--from", metavar="URL", dest="source", help="source of mend, such as a backup"
        )
        parser.add_argument("--at", metavar="URL", help="verify this store, not LORARY_STORAGE")
        parser.add_argument("--all", action="store_true", help="verify every file")
        parser.add_argument(
            "--sample", type=whole_number(1), metavar="N", help="verify N random files"
        )
        parser.add_argument(
            "--leave-missing",
            action="store_true",
            help="move even if files are already lost",
        )
        parser.add_argument(
            "--threads",
            type=whole_number(1),
            default=migrate_store.THREADS,
            metavar="N",
            help="number of parallel transfers",
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Run the verb; exit with 1 if something is wrong."""
        _require_sensible(options)
        try:
            document = getattr(self, f"_{options['verb']}")(options)
        except StorageAway as error:
            why = f"A store cannot be reached: {error.__cause__ or error}"
            message = f"{why}. No files were lost. Check its address and the credentials."
            raise CommandError(message) from error
        except StorageFull as error:
            message = place_problem(options["to"] or settings.LORARY.storage, error)
            raise CommandError(message) from error
        except (process_lock.Busy, LoraryError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(document))
        sys.exit(0 if document["ok"] else 1)

    def _status(self, options: dict[str, Any]) -> Document:
        tally = migrate_store.census(storage.store())
        if not options["json"]:
            self.stdout.write(
                f"{settings.LORARY.storage}\n"
                f"{counted(tally.blobs, 'file')} ({size_text(tally.bytes)}) referenced by the "
                f"database; {tally.files:,} ({size_text(tally.file_bytes)}) stored"
            )
            self._say(listed(tally.missing, f"missing or of the wrong size; {MEND}", noun="file"))
            self.stdout.write(
                f"{tally.orphans:,} unreferenced ({size_text(tally.orphan_bytes)}), "
                "to be deleted by the sweeper\n"
                f"{tally.incoming:,} from open uploads ({size_text(tally.incoming_bytes)})"
            )
        facts = {"storage": settings.LORARY.storage, **asdict(tally)}
        return {"ok": not tally.missing, **facts}

    def _verify(self, options: dict[str, Any]) -> Document:
        at = options["at"] or settings.LORARY.storage
        blobs = None
        if not options["all"]:
            rows, count = list(migrate_store.stored()), options["sample"] or SAMPLE
            blobs = random.sample(rows, min(count, len(rows)))
        meter = Meter("verified", is_quiet=options["json"])
        place = _at(at)
        is_own = is_same_store(at, settings.LORARY.storage)
        tally = migrate_store.verify(
            store=place,
            blobs=blobs,
            reads_unknown=options["all"] and not is_own,
            threads=options["threads"],
            progress=meter,
        )
        meter.end()
        if not options["json"]:
            self.stdout.write(
                f"{counted(tally.done, 'file')} ({size_text(tally.bytes_done)}) intact: {at}"
            )
            self._say(_problems(tally, is_own=is_own))
        return {"ok": tally.is_whole, "storage": at, **asdict(tally)}

    def _mend(self, options: dict[str, Any]) -> Document:
        meter = Meter("read", is_quiet=options["json"])
        with process_lock.one_copy_only():
            found, tally = migrate_store.mend(
                source=_at(options["source"]),
                target=storage.store(),
                threads=options["threads"],
                progress=meter,
            )
        meter.end()
        if not options["json"]:
            self.stdout.write(f"{counted(found.done, 'file')} intact; {tally.done:,} mended")
            self._say(_unmended_files(options["source"], tally))
        return {
            "ok": tally.is_whole,
            "from": options["source"],
            "right": found.done,
            **asdict(tally),
        }

    def _copy(self, options: dict[str, Any]) -> Document:
        with process_lock.one_copy_only():
            tally = self._copied(options)
        return {"ok": tally.is_whole, "to": options["to"], **asdict(tally)}

    def _copied(self, options: dict[str, Any]) -> Tally:
        is_dry, is_quiet = options["dry_run"], options["json"]
        meter = Meter("copied", is_quiet=is_quiet)
        tally = migrate_store.copy(
            source=storage.store(),
            target=_at(options["to"]),
            threads=options["threads"],
            is_dry=is_dry,
            progress=meter,
        )
        meter.end()
        if not is_quiet:
            verb = "to be copied" if is_dry else "copied and verified"
            self.stdout.write(
                f"{counted(tally.done, 'file')} ({size_text(tally.bytes_done)}) {verb}; "
                f"{tally.present:,} already there"
            )
            self._say(problem_lines(tally))
        return tally

    def _move(self, options: dict[str, Any]) -> Document:
        if options["dry_run"]:
            tally = self._copied(options)
            return {"ok": tally.is_whole, "to": options["to"], "moved": False, **asdict(tally)}
        with process_lock.one_copy_only(), process_lock.exclusive():
            process_lock.require_no_workers()
            began = timezone.now()
            tally, carried, left = self._copy_rest(options)
            is_proven = left is not None
            if is_proven:
                save_move(settings.LORARY.data, options["to"])
                events.record(
                    actor=None,
                    verb="store_moved",
                    **{"from": settings.LORARY.storage, "to": options["to"]},
                )
        seconds = round((timezone.now() - began).total_seconds(), 1)
        if not options["json"]:
            if left is None:
                self._say_not_moved(tally)
            else:
                self._say_moved(options["to"], carried, seconds, left)
        return {
            "ok": is_proven,
            "to": options["to"],
            "moved": is_proven,
            "seconds": seconds,
            "uploads": asdict(carried),
            **asdict(tally),
        }

    def _copy_rest(self, options: dict[str, Any]) -> tuple[Tally, MovedUploads, int | None]:
        """Copy the rest and open uploads; also return the number of lost files, None on failure."""
        source, target = storage.store(), _at(options["to"])
        tally = self._copied(options)
        carried = store_change.move_uploads(
            source=source, target=target, least_part_bytes=_least_part_bytes(options["to"])
        )
        lost = set(tally.missing + tally.damaged) if options["leave_missing"] else set()
        lacking = set(migrate_store.census(target).missing)
        is_proven = not tally.failed and lacking <= lost
        return tally, carried, len(lacking) if is_proven else None

    def _say_not_moved(self, tally: Tally) -> None:
        advice = (
            "Run it again."
            if tally.failed
            else "Restore the missing files, or pass --leave-missing to move without them."
        )
        self.stdout.write(f"Not moved: the hub still uses {settings.LORARY.storage}. {advice}")

    def _say_moved(self, to: str, carried: MovedUploads, seconds: float, left: int) -> None:
        self.stdout.write(f"{counted(carried.whole, 'open upload')} moved")
        self._say(listed(carried.asked_again, "to be sent again", noun="open upload"))
        self._say(listed(carried.cancelled, "cancelled: parts below 5 MiB", noun="open upload"))
        but = f" except {counted(left, 'file')} that were missing or damaged" if left else ""
        self.stdout.write(
            f"Moved in {seconds:g} s: all referenced files{but} are at\n  {to}\n"
            f"The files at {settings.LORARY.storage} were not deleted and are no longer used."
        )
        if os.environ.get("LORARY_STORAGE"):
            self.stdout.write(
                "LORARY_STORAGE still has the old address: unset it here. Set it to the new one "
                "on all other machines, then start the hub."
            )
        else:
            self.stdout.write(
                "Set LORARY_STORAGE to this address on all other machines, then start the hub."
            )

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)


def _problems(tally: Tally, *, is_own: bool) -> Iterator[str]:
    """Yield the problems of a store; a store other than the hub's is not mended but refilled."""
    if is_own:
        return problem_lines(tally)
    return problem_lines(
        tally,
        missing="missing there; the next copy or backup adds them",
        damaged="damaged there; delete what is damaged, and the next copy or backup adds what the "
        "hub has",
    )


def _unmended_files(url: str, tally: Tally) -> Iterator[str]:
    """Yield the files that could not be mended from a store."""
    return problem_lines(
        tally,
        missing=f"missing or damaged here, and not at {url}; try another backup",
        damaged=f"missing or damaged here, and damaged at {url}; try another backup",
    )


def _at(url: str) -> BlobStore:
    """Return the store of a URL.

    Raises:
        CommandError: the URL is invalid.
    """
    _place(url)
    return storage.store_at(url)


def _place(url: str) -> Path | storage.BucketLocation:
    try:
        return storage.parse_location(url)
    except ValueError as error:
        message = f"{url}: {error}"
        raise CommandError(message) from error


def _least_part_bytes(url: str) -> int:
    """Return the minimum size of a part of a multipart upload (S3: 5 MiB)."""
    return 0 if isinstance(_place(url), Path) else 5 * 2**20


def _require_sensible(options: dict[str, Any]) -> None:
    verb, to = options["verb"], options["to"]
    if (verb in {"copy", "move"}) != bool(to):
        message = "copy and move need --to URL; the other verbs do not accept it."
        raise CommandError(message)
    if (verb == "mend") != bool(options["source"]):
        message = "mend needs --from URL; the other verbs do not accept it."
        raise CommandError(message)
    if to:
        _require_another(to)
    if verb == "move" and settings.LORARY.part_bytes < _least_part_bytes(to):
        message = (
            "LORARY_UPLOAD_PART_BYTES is below 5 MiB, the minimum for a bucket, so the hub would "
            "not start there. Unset or increase it, then move."
        )
        raise CommandError(message)
    place = _place(options["source"]) if verb == "mend" else None
    if isinstance(place, Path) and not place.is_dir():
        message = f"--from: the folder {place} does not exist."
        raise CommandError(message)


def _require_another(to: str) -> None:
    _place(to)
    if is_same_store(to, settings.LORARY.storage):
        message = f"The files are already at {to}."
        raise CommandError(message)
