"""The client of an S3 server, with timeouts and retries, and the meaning of its errors."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils.translation import gettext as _

from registry.errors import StorageAway, StorageFull
from registry.storage.location import BucketLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


log = logging.getLogger(__name__)

CONNECT_S, READ_S = 5, 60
#: Attempts at one request; botocore waits longer after each.
ATTEMPTS = 4
#: Seconds after which a client may retry while the store is unreachable.
RETRY_AFTER_S = 15

_ABSENT = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
_FULL = {"QuotaExceeded", "InsufficientCapacity", "InsufficientStorage", "XMinioStorageFull"}


class ConditionUnsupported(Exception):
    """Raised if the server doesn't support the condition of a request."""


def client_of(location: BucketLocation, endpoint: str) -> S3Client:
    """Return this process's client for a server. All threads may use it.

    Credentials come from boto3's usual chain: environment, shared files, role of the machine.
    """
    with _LOCK:  # boto3 can't create clients concurrently
        return _client(location, endpoint, os.getpid())


_LOCK = threading.Lock()


@lru_cache(maxsize=16)
def _client(location: BucketLocation, endpoint: str, _pid: int) -> S3Client:
    checksums = location.checksums
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if location.is_path_style else "auto"},
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=32,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    session = boto3.session.Session(region_name=location.region or None)
    region = session.region_name or "us-east-1"
    return session.client("s3", region_name=region, endpoint_url=endpoint or None, config=config)


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Turn the errors of a request into those of ``BlobStore``.

    Raises:
        FileNotFoundError: the object doesn't exist.
        FileExistsError: a condition of the request failed (412, or 409 during concurrent writes).
        ConditionUnsupported: the server doesn't support the condition.
        StorageFull: the server has no room.
        StorageAway: any other error, after several attempts.
    """
    try:
        yield
    except ClientError as error:
        raise _translated(error, name) from error
    except BotoCoreError as error:
        log.warning("the bucket cannot be reached for %s: %s", name, error)
        raise _away() from error


def _translated(error: ClientError, name: str) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _ABSENT:
        return FileNotFoundError(name)
    if status == 412 or code == "ConditionalRequestConflict":
        return FileExistsError(name)
    if status == 501:
        return ConditionUnsupported(name)
    if code in _FULL or status == 507:
        return StorageFull(_("The storage is full. Try again later."))
    log.error("the bucket refused %s: %s", name, error)
    return _away()


def _away() -> StorageAway:
    return StorageAway(
        _("The file storage does not respond. Nothing is lost. Try again soon."),
        retry_after=RETRY_AFTER_S,
    )
