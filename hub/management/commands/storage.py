"""``manage.py storage``: where the bytes are, whether they are right, and how they move."""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hub.config import save_move
from hub.management.progress import MEND, Help, Meter, amiss, listed
from hub.operations import process_lock
from hub.plurals import counted, size_text
from hub.setting_checks import TAG, is_same_store
from registry import storage
from registry.blobs import migrate_store
from registry.errors import LoraryError, StorageAway
from registry.uploads import store_change

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator

    from registry.blobs.migrate_store import Tally
    from registry.storage import BlobStore
    from registry.uploads.store_change import MovedUploads

    Document = dict[str, Any]

EPILOG = """\
status  where the files are, what the rows name, what is missing, what is left over (the default)
verify  read files and compare their sha256: 100 of them, --sample N or --all
copy    copy every file to another store and verify it there; repeatable, beside a running hub
mend    verify every file, and bring those that are missing or damaged from another store (--from)
move    with the hub stopped: copy the rest and open uploads, prove that all is there, switch

A URL is what LORARY_STORAGE takes: file:///path or s3://bucket/prefix?endpoint=…

Exit code 1: something is missing or damaged, or could not be copied.

Example: manage.py storage copy --to 's3://studio/lorary?endpoint=https://s3.studio.example'
"""

#: Files that are verified when nothing else is said.
SAMPLE = 100


class Command(BaseCommand):
    """Say where bytes are; check, copy and move them."""

    help = "Show where files are stored and verify them; copy or move them to another store."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what is done, and with which store."""
        parser.epilog, parser.formatter_class = EPILOG, Help
        verbs = ("status", "verify", "mend", "copy", "move")
        parser.add_argument("verb", nargs="?", default="status", choices=verbs, help="see below")
        parser.add_argument("--to", metavar="URL", help="target of copy and move")
        parser.add_argument(
            "--from", metavar="URL", dest="source", help="source of mend, such as a backup"
        )
        parser.add_argument("--at", metavar="URL", help="verify this store, not LORARY_STORAGE")
        parser.add_argument("--all", action="store_true", help="verify every file")
        parser.add_argument("--sample", type=int, metavar="N", help="verify N random files")
        parser.add_argument(
            "--leave-missing",
            action="store_true",
            help="move even if files are already lost",
        )
        parser.add_argument(
            "--threads", type=int, default=migrate_store.THREADS, metavar="N", help="files at once"
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
        parser.add_argument("--json", action="store_true", help="one line of JSON")

    def handle(self, *_args: str, **options: Any) -> None:
        """Do it; leave with 1 when something is amiss."""
        _require_sensible(options)
        try:
            document = getattr(self, f"_{options['verb']}")(options)
        except StorageAway as error:
            why = f"A store cannot be used: {error.__cause__ or error}"
            message = f"{why}. Nothing is lost. Check its address and the credentials."
            raise CommandError(message) from error
        except (process_lock.Busy, LoraryError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(document))
        sys.exit(0 if document["ok"] else 1)

    def _status(self, options: dict[str, Any]) -> Document:
        told = migrate_store.census(storage.store())
        if not options["json"]:
            self.stdout.write(
                f"{settings.LORARY.storage}\n"
                f"{counted(told.blobs, 'file')} ({size_text(told.bytes)}) that the rows name; "
                f"{told.files:,} ({size_text(told.file_bytes)}) stored"
            )
            self._say(listed(told.missing, f"missing or of another length, {MEND}", noun="file"))
            self.stdout.write(
                f"{told.orphans:,} without a row ({size_text(told.orphan_bytes)}): the sweeper's\n"
                f"{told.incoming:,} on their way in ({size_text(told.incoming_bytes)})"
            )
        facts = {"storage": settings.LORARY.storage, **asdict(told)}
        return {"ok": not told.missing, **facts}

    def _verify(self, options: dict[str, Any]) -> Document:
        at = options["at"] or settings.LORARY.storage
        blobs = None
        if not options["all"]:
            rows, count = list(migrate_store.stored()), options["sample"] or SAMPLE
            blobs = random.sample(rows, min(count, len(rows)))
        meter = Meter("verified", is_quiet=options["json"])
        told = migrate_store.verify(
            store=_at(at), blobs=blobs, threads=options["threads"], progress=meter
        )
        meter.end()
        if not options["json"]:
            self.stdout.write(
                f"{counted(told.done, 'file')} ({size_text(told.bytes_done)}) found right: {at}"
            )
            self._say(_amiss_at(at, told))
        return {"ok": told.is_whole, "storage": at, **asdict(told)}

    def _mend(self, options: dict[str, Any]) -> Document:
        meter = Meter("read", is_quiet=options["json"])
        with process_lock.one_at_a_time():
            found, told = migrate_store.mend(
                source=_at(options["source"]),
                target=storage.store(),
                threads=options["threads"],
                progress=meter,
            )
        meter.end()
        if not options["json"]:
            self.stdout.write(f"{counted(found.done, 'file')} found right; {told.done:,} mended")
            self._say(_not_mended(options["source"], told))
        return {"ok": told.is_whole, "from": options["source"], "right": found.done, **asdict(told)}

    def _copy(self, options: dict[str, Any]) -> Document:
        with process_lock.one_at_a_time():
            told = self._copied(options)
        return {"ok": told.is_whole, "to": options["to"], **asdict(told)}

    def _copied(self, options: dict[str, Any]) -> Tally:
        is_dry, is_quiet = options["dry_run"], options["json"]
        meter = Meter("copied", is_quiet=is_quiet)
        told = migrate_store.copy(
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
                f"{counted(told.done, 'file')} ({size_text(told.bytes_done)}) {verb}; "
                f"{told.present:,} already there"
            )
            self._say(amiss(told))
        return told

    def _move(self, options: dict[str, Any]) -> Document:
        if options["dry_run"]:
            told = self._copied(options)
            return {"ok": told.is_whole, "to": options["to"], "moved": False, **asdict(told)}
        with process_lock.one_at_a_time(), process_lock.alone():
            process_lock.require_no_workers()
            began = timezone.now()
            told, carried, left = self._brought(options)
            is_proven = left is not None
            if is_proven:
                save_move(settings.LORARY.data, options["to"])
        seconds = round((timezone.now() - began).total_seconds(), 1)
        if not options["json"]:
            if left is None:
                self._say_not_moved(told)
            else:
                self._say_moved(options["to"], carried, seconds, left)
        return {
            "ok": is_proven,
            "to": options["to"],
            "moved": is_proven,
            "seconds": seconds,
            "uploads": asdict(carried),
            **asdict(told),
        }

    def _brought(self, options: dict[str, Any]) -> tuple[Tally, MovedUploads, int | None]:
        """Copy what is left; the last says how many lost files go without, None if it is short."""
        source, target = storage.store(), _at(options["to"])
        told = self._copied(options)
        carried = store_change.move_uploads(
            source=source, target=target, least_part_bytes=_least_part_bytes(options["to"])
        )
        lost = set(told.missing + told.damaged) if options["leave_missing"] else set()
        lacking = set(migrate_store.census(target).missing)
        is_proven = not told.failed and lacking <= lost
        return told, carried, len(lacking) if is_proven else None

    def _say_not_moved(self, told: Tally) -> None:
        advice = (
            "Run it again."
            if told.failed
            else "Restore what is missing, or say --leave-missing to go without it."
        )
        self.stdout.write(f"Not moved: {settings.LORARY.storage} stays in use. {advice}")

    def _say_moved(self, to: str, carried: MovedUploads, seconds: float, left: int) -> None:
        self.stdout.write(f"{counted(carried.whole, 'open upload')} came along")
        self._say(listed(carried.asked_again, "to send bytes again", noun="open upload"))
        self._say(listed(carried.cancelled, "cancelled: parts below 5 MiB", noun="open upload"))
        but = f" but {counted(left, 'file')}, missing or damaged before," if left else ""
        self.stdout.write(
            f"Moved in {seconds:g} s: everything that the rows name{but} is at\n  {to}\n"
            f"The files at {settings.LORARY.storage} are still there; nothing uses them any more."
        )
        if os.environ.get("LORARY_STORAGE"):
            self.stdout.write(
                "LORARY_STORAGE is set to the former place: unset it here. Set it to the new one "
                "on every other machine, then start."
            )
        else:
            self.stdout.write("Set LORARY_STORAGE to it on every other machine, then start.")

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)


def _amiss_at(url: str, told: Tally) -> Iterator[str]:
    """Yield what is wrong at a store; one that is not the hub's is filled, not mended."""
    if is_same_store(url, settings.LORARY.storage):
        return amiss(told)
    return amiss(
        told,
        missing="missing there; the next copy or backup brings them",
        damaged="with other bytes than the name says; remove them there, then copy or back up",
    )


def _not_mended(url: str, told: Tally) -> Iterator[str]:
    """Yield what a store could not mend."""
    return amiss(
        told,
        missing=f"missing or damaged here, and not at {url}; try another backup",
        damaged=f"missing or damaged here, and damaged at {url}; try another backup",
    )


def _at(url: str) -> BlobStore:
    """Return the store of an address.

    Raises:
        CommandError: it is no address of a store.
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
    """Return the shortest part that a store joins with others (S3: 5 MiB)."""
    return 0 if isinstance(_place(url), Path) else 5 * 2**20


def _require_sensible(options: dict[str, Any]) -> None:
    verb, to = options["verb"], options["to"]
    if (verb in {"copy", "move"}) != bool(to):
        message = "copy and move need --to URL; the others take none."
        raise CommandError(message)
    if (verb == "mend") != bool(options["source"]):
        message = "mend needs --from URL; the others take none."
        raise CommandError(message)
    if to:
        _require_another(to)
    if verb == "move" and settings.LORARY.part_bytes < _least_part_bytes(to):
        message = (
            "LORARY_UPLOAD_PART_BYTES is below 5 MiB, which is the least that a bucket takes: no "
            "hub would start there. Unset it or set it higher, then move."
        )
        raise CommandError(message)
    if options["threads"] < 1 or (options["sample"] is not None and options["sample"] < 1):
        message = "--threads and --sample take a number from 1 on."
        raise CommandError(message)


def _require_another(to: str) -> None:
    _place(to)
    if is_same_store(to, settings.LORARY.storage):
        message = f"The files are at {to} already."
        raise CommandError(message)
