"""The Celery application. It only wakes workers; the queue is the table of jobs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from celery import Celery
from celery.signals import setup_logging, task_postrun
from django.conf import settings

#: Seconds after which a worker that took a message has read it.
TAKEN_S = 60.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")

app = Celery("lorary")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["registry", "previews"])


@setup_logging.connect
def keep_logging(**_kwargs: object) -> None:
    """Keep the hub's logging: without a receiver, Celery sets the level of all loggers."""


@task_postrun.connect
def discard_taken(**_kwargs: object) -> None:
    """Delete messages of the embedded broker that workers have taken.

    kombu moves a message to a folder before it reads it, and a worker crashes if it is missing: so
    only old messages are deleted. A move changes the inode's time, not the content's. kombu's own
    clean-up uses the system's temporary folder, which may be another file system, where a move is
    not atomic.
    """
    taken = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("processed_folder")
    if taken is None:
        return
    oldest = time.time() - TAKEN_S
    for message in Path(str(taken)).glob("*.msg"):
        with contextlib.suppress(OSError):
            if message.stat().st_ctime < oldest:
                message.unlink()
