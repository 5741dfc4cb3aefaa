"""Talking to an S3 server: a client that waits and repeats within limits, and what answers mean."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.utils.translation import gettext as _

from registry.errors import StorageAway, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from registry.storage.places import BucketPlace

__all__ = ["RETRY_AFTER_S", "Unconditional", "client_of", "reaching"]

log = logging.getLogger(__name__)

CONNECT_S, READ_S = 5, 60
#: Of one request, the first included; between them botocore waits longer and longer.
ATTEMPTS = 4
#: Seconds after which a request that found no store may come again.
RETRY_AFTER_S = 15

_ABSENT = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
_FULL = {"QuotaExceeded", "InsufficientCapacity", "InsufficientStorage", "XMinioStorageFull"}


class Unconditional(Exception):
    """The server does not know the condition that a request came with."""


def client_of(place: BucketPlace, endpoint: str) -> S3Client:
    """Return this process's client for a server; it may be used by all threads.

    Credentials come from boto3's ordinary chain: environment, shared files, role of the machine.
    """
    with _MAKING:  # boto3 makes one at a time
        return _client(place, endpoint, os.getpid())


_MAKING = threading.Lock()


@lru_cache(maxsize=16)
def _client(place: BucketPlace, endpoint: str, _pid: int) -> S3Client:
    checksums = place.checksums
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if place.is_path_style else "auto"},
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=32,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    session = boto3.session.Session(region_name=place.region or None)
    region = session.region_name or "us-east-1"
    return session.client("s3", region_name=region, endpoint_url=endpoint or None, config=config)


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Turn what goes wrong with a request into what the verbs of a store promise.

    Args:
        name: What the request is about.

    Raises:
        FileNotFoundError: there is no such thing.
        FileExistsError: a condition of the request did not hold (412, or 409 while two write).
        Unconditional: the server knows no such condition.
        StorageFull: the server has no room.
        StorageAway: everything else, after several tries.
    """
    try:
        yield
    except ClientError as error:
        raise _meaning(error, name) from error
    except BotoCoreError as error:
        log.warning("the bucket cannot be reached for %s: %s", name, error)
        raise _away() from error


def _meaning(error: ClientError, name: str) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _ABSENT:
        return FileNotFoundError(name)
    if status == 412 or code == "ConditionalRequestConflict":
        return FileExistsError(name)
    if status == 501:
        return Unconditional(name)
    if code in _FULL or status == 507:
        return StorageFull(_("There is no room for this file now. Try again later."))
    log.error("the bucket refuses %s: %s", name, error)
    return _away()


def _away() -> StorageAway:
    return StorageAway(
        _("The place where files are kept does not answer. Nothing is lost; try again soon."),
        retry_after=RETRY_AFTER_S,
    )
