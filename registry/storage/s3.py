"""Blobs in a bucket of an S3 server.

```
<prefix>incoming/<private key>            a multipart upload, then an object
<prefix>blobs/ab/cd/<sha256>              set by promotion, always to the same bytes
```

A private key is opened once: its first part, or the first link to one, starts its only multipart
upload. Once that is joined, no machine and no link can write to the key: the bytes that were hashed
are the bytes that are promoted. The bucket itself stores the state of a key: neither upload nor
object (not opened), an upload (open), an object (sealed). So processes need no state, and several
machines may share a bucket. Only opening must not be concurrent: whoever creates a key opens it
before sharing it.

Promotion is a copy inside the server, which replaces an existing blob: that may be damaged, and
reading it would cost more. Concurrent promotions write the same bytes. A new copy may have another
tag, so reads of a blob use only its name.

Source: Amazon S3 API reference; https://docs.aws.amazon.com/AmazonS3/latest/API/.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, overload

from django.utils.translation import gettext as _

from registry.errors import SizeMismatch, StorageAway, UploadIncomplete
from registry.storage.base import (
    Entry,
    Fetch,
    Handle,
    Part,
    check_digest,
    check_key,
    is_digest,
    is_key,
)
from registry.storage.location import BucketLocation
from registry.storage.ranged import Ranged
from registry.storage.s3_client import (
    RETRY_AFTER_S,
    ConditionUnsupported,
    client_of,
    translate_errors,
)
from registry.storage.spooling import Spool, pieces_of, spooled

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client


#: S3's limits: minimum size of a part except the last, and maximum number of parts.
LEAST_PART_BYTES, MOST_PARTS = 5 * 2**20, 10_000
#: Objects up to this size are copied by one request (S3's limit is 5 GB). Longer ones are copied
#: in ranges, so that no request takes longer than a connection lasts.
COPY_BYTES = 2**30
#: Lifetime of a link for a part, in seconds.
PART_LINK_S = 3600
#: Seconds for which links reuse the id of an upload, and how many ids are cached.
UPLOAD_ID_S, UPLOAD_IDS = 5.0, 1000


class S3Store:
    """A bucket; see ``BlobStore``."""

    def __init__(self, location: BucketLocation) -> None:
        self.location = location
        self._opening = threading.Lock()
        self._upload_ids: dict[str, tuple[float, str]] = {}

    @property
    def client(self) -> S3Client:
        """The client for requests."""
        return client_of(self.location, self.location.endpoint)

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        part: Part | None = None,
        is_durable: bool = True,
    ) -> str:
        """Spool the bytes to an unnamed file, then send them: so a request can be repeated."""
        del is_durable  # a bucket always is
        if part is None:
            return self._write_whole(key, chunks)
        upload = self._opened(key)
        with spooled(chunks) as body:
            return self._send(key, upload, part.number, body)

    def assemble(self, key: str, parts: Sequence[Part]) -> None:
        """Complete the multipart upload with parts of the right length.

        A server that is still joining for a dead process may no longer list some parts.
        """
        self._upload_ids.pop(key, None)
        absent = UploadIncomplete(missing=[part.number for part in parts][:1000])
        try:
            if (upload := self._found(key)) is not None:
                self._complete(key, upload, _chosen_of(parts, self._listed(key, upload)))
                return
        except (FileNotFoundError, FileExistsError):  # another process was faster
            pass
        except UploadIncomplete as refusal:
            absent = refusal
        if self._size(self._private(key)) != sum(part.size for part in parts):
            raise absent

    def promote(self, key: str, sha256: str) -> None:
        """Copy inside the server, check the size of the copy, and delete the private object."""
        source, target = self._private(key), self._blob(sha256)
        size, tag = self._head(source)
        self._copy(source, target, size, tag)
        if self._size(target) != size:
            text = _("A copy inside the bucket failed. Try again soon.")
            raise StorageAway(text, retry_after=RETRY_AFTER_S)
        self.delete(key)

    def open(self, name: str) -> Handle:
        """Look up the length; reads request ranges, of a private file only this version."""
        object_key = self._of(name)
        size, tag = self._head(object_key)
        same = {} if is_digest(name) else {"IfMatch": tag}

        def fetch(first: int, last: int) -> StreamingBody:
            byte_range = f"bytes={first}-{last}"
            parameters = self._call("get_object", Key=object_key, Range=byte_range, **same)
            body: StreamingBody = parameters["Body"]
            return body

        return Handle(Ranged(name, size, fetch), size)

    @overload
    def link(self, name: str, way: Fetch) -> str | None: ...
    @overload
    def link(self, name: str, way: Part) -> str | None: ...
    def link(self, name: str, way: Fetch | Part) -> str | None:
        """Sign a URL; one for a part accepts exactly the bytes that the part must have."""
        parameters: dict[str, Any]
        upload = self._cached_upload(name) if isinstance(way, Part) else ""
        if not self.location.has_links:
            return None
        if isinstance(way, Part):
            parameters = {"UploadId": upload, "PartNumber": way.number, "ContentLength": way.size}
            return self._signed("upload_part", self._private(name), parameters, PART_LINK_S)
        parameters = {"ResponseContentType": way.content_type}
        if way.disposition:
            parameters["ResponseContentDisposition"] = way.disposition
        return self._signed("get_object", self._of(name), parameters, way.seconds)

    def delete(self, name: str, *, is_partial: bool = False) -> None:
        """Abort all multipart uploads of the name and delete its object."""
        object_key = self._of(name)
        self._upload_ids.pop(name, None)
        for upload in self._uploads(object_key):
            self._abort(object_key, upload)
        if not is_partial:
            with suppress(FileNotFoundError):
                self._call("delete_object", Key=object_key)

    def names(self, key: str = "") -> Iterator[Entry]:
        """Yield objects, then incomplete uploads; for one key, each part by itself."""
        if key:
            yield from self._of_key(key)
            return
        for page in self._pages("list_objects_v2", Prefix=self.location.prefix):
            for found in page.get("Contents", []):
                if name := self._name(found["Key"]):
                    yield Entry(name, found["LastModified"].timestamp(), found["Size"])
        for page in self._pages("list_multipart_uploads", Prefix=self.location.prefix):
            for found in page.get("Uploads", []):
                if name := self._name(found["Key"]):
                    yield Entry(name, found["Initiated"].timestamp(), 0, is_partial=True)

    # --- writing --------------------------------------------------------------------------------

    def _write_whole(self, key: str, chunks: Iterable[bytes]) -> str:
        """Send a file in pieces as it arrives; a file of one piece is sent as one object."""
        upload = self._found(key)
        if upload is None and self._size(self._private(key)) is not None:
            raise FileExistsError(key)
        sent: list[tuple[int, str]] = []
        for number, (piece, is_last) in enumerate(pieces_of(chunks), start=1):
            if is_last and number == 1 and upload is None:
                return self._put(key, piece)
            upload = upload or self._opened(key)
            sent.append((number, self._send(key, upload, number, piece)))
        if upload is not None:
            self._complete(key, upload, sent)
        return ""

    def _put(self, key: str, body: Spool) -> str:
        parameters = {"Key": self._private(key), "Body": body.file, "ContentLength": body.size}
        done = self._once("put_object", parameters)
        return str(done["ETag"])

    def _send(self, key: str, upload: str, number: int, body: Spool) -> str:
        body.file.seek(0)
        parameters = {"UploadId": upload, "PartNumber": number, "ContentLength": body.size}
        try:
            done = self._call("upload_part", Key=self._private(key), Body=body.file, **parameters)
        except FileNotFoundError as error:  # joined or aborted in the meantime
            raise FileExistsError(key) from error
        return str(done["ETag"])

    def _complete(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        self._once("complete_multipart_upload", self._joining(self._private(key), upload, parts))

    def _joining(
        self, object_key: str, upload: str, parts: Sequence[tuple[int, str]]
    ) -> dict[str, Any]:
        listed = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in parts]}
        return {"Key": object_key, "UploadId": upload, "MultipartUpload": listed}

    def _copy(self, source: str, target: str, size: int, tag: str) -> None:
        origin = {"Bucket": self.location.bucket, "Key": source}
        parameters: dict[str, Any] = {"Key": target, "CopySource": origin, "CopySourceIfMatch": tag}
        if size <= COPY_BYTES:
            self._call("copy_object", **parameters)
            return
        upload = self._call("create_multipart_upload", Key=target)["UploadId"]
        try:
            parts = self._copied(parameters, upload, size)
            self._call("complete_multipart_upload", **self._joining(target, upload, parts))
        except BaseException:
            self._abort(target, upload)
            raise

    def _copied(self, parameters: dict[str, Any], upload: str, size: int) -> list[tuple[int, str]]:
        """Copy an object by ranges and return their numbers and tags."""
        step, parts = max(COPY_BYTES, math.ceil(size / MOST_PARTS)), []
        for number, first in enumerate(range(0, size, step), start=1):
            byte_range = f"bytes={first}-{min(first + step, size) - 1}"
            more = {"UploadId": upload, "PartNumber": number, "CopySourceRange": byte_range}
            done = self._call("upload_part_copy", **parameters, **more)
            parts.append((number, str(done["CopyPartResult"]["ETag"])))
        return parts

    def _abort(self, object_key: str, upload: str) -> None:
        with suppress(FileNotFoundError):
            self._call("abort_multipart_upload", Key=object_key, UploadId=upload)

    # --- looking --------------------------------------------------------------------------------

    def _opened(self, key: str) -> str:
        """Return the multipart upload of a key; start it if there never was one."""
        with self._opening:
            if found := self._found(key):
                return found
            object_key = self._private(key)
            if self._size(object_key) is not None:
                raise FileExistsError(key)
            return str(self._call("create_multipart_upload", Key=object_key)["UploadId"])

    def _cached_upload(self, key: str) -> str:
        """Return the same as ``_opened``, with one request for many links.

        It may be outdated: a link to a joined or aborted upload does nothing.
        """
        now = time.monotonic()
        at, upload = self._upload_ids.get(key, (0.0, ""))
        if not upload or now - at > UPLOAD_ID_S:
            upload = self._opened(key)
            if len(self._upload_ids) >= UPLOAD_IDS:
                self._upload_ids.clear()
            self._upload_ids[key] = now, upload
        return upload

    def _found(self, key: str) -> str | None:
        """Return the open multipart upload of a key, or None."""
        return next(self._uploads(self._private(key)), None)

    def _uploads(self, object_key: str) -> Iterator[str]:
        """Yield the multipart uploads of an object, the oldest first."""
        found = [
            (one["Initiated"], one["UploadId"])
            for page in self._pages("list_multipart_uploads", Prefix=object_key)
            for one in page.get("Uploads", [])
            if one["Key"] == object_key
        ]
        yield from (upload for _begun, upload in sorted(found))

    def _listed(self, key: str, upload: str) -> list[dict[str, Any]]:
        pages = self._pages("list_parts", Key=self._private(key), UploadId=upload)
        return [part for page in pages for part in page.get("Parts", [])]

    def _of_key(self, key: str) -> Iterator[Entry]:
        """Yield each part (on some servers also replaced ones), or the joined object."""
        with suppress(FileNotFoundError):
            if upload := self._found(key):
                for part in self._listed(key, upload):
                    changed, number = part["LastModified"].timestamp(), part["PartNumber"]
                    yield Entry(key, changed, part["Size"], number, part["ETag"], is_partial=True)
                return
        with suppress(FileNotFoundError):
            found = self._call("head_object", Key=self._private(key))
            yield Entry(key, found["LastModified"].timestamp(), found["ContentLength"])

    def _head(self, object_key: str) -> tuple[int, str]:
        found = self._call("head_object", Key=object_key)
        return int(found["ContentLength"]), str(found["ETag"])

    def _size(self, object_key: str) -> int | None:
        try:
            return self._head(object_key)[0]
        except FileNotFoundError:
            return None

    # --- asking ---------------------------------------------------------------------------------

    def _call(self, verb: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
        with translate_errors(str(parameters.get("Key", ""))):
            request: Callable[..., dict[str, Any]] = getattr(self.client, verb)
            return request(Bucket=self.location.bucket, **parameters)

    def _once(self, verb: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Send a request that must create the object, if the server supports this condition."""
        try:
            return self._call(verb, **parameters, IfNoneMatch="*")
        except ConditionUnsupported:
            return self._call(verb, **parameters)

    def _pages(self, verb: str, **parameters: Any) -> Iterator[Any]:  # noqa: ANN401 - boto3's
        with translate_errors(str(parameters.get("Key", parameters.get("Prefix", "")))):
            paginator: Any = self.client.get_paginator(verb)  # type: ignore[call-overload]  # any
            yield from paginator.paginate(Bucket=self.location.bucket, **parameters)

    def _signed(self, verb: str, object_key: str, parameters: dict[str, Any], seconds: int) -> str:
        client = client_of(self.location, self.location.links or self.location.endpoint)
        named = {"Bucket": self.location.bucket, "Key": object_key, **parameters}
        with translate_errors(object_key):
            return client.generate_presigned_url(verb, Params=named, ExpiresIn=seconds)

    # --- naming ---------------------------------------------------------------------------------

    def _of(self, name: str) -> str:
        return self._blob(name) if is_digest(name) else self._private(name)

    def _private(self, key: str) -> str:
        return f"{self.location.prefix}incoming/{check_key(key)}"

    def _blob(self, sha256: str) -> str:
        folder = f"{check_digest(sha256)[:2]}/{sha256[2:4]}"
        return f"{self.location.prefix}blobs/{folder}/{sha256}"

    def _name(self, object_key: str) -> str:
        """Return the name that an object has here, "" for other objects."""
        name = object_key.rpartition("/")[2]
        is_ours = (is_key(name) or is_digest(name)) and self._of(name) == object_key
        return name if is_ours else ""


def _newest_of(listed: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return the newest version of a part; some servers also list replaced ones."""
    return max(
        (part for part in listed if part["PartNumber"] == number),
        key=lambda part: part["LastModified"],
    )


def _chosen_of(parts: Sequence[Part], listed: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return number and tag of the parts to join."""
    known = {(part["PartNumber"], part["ETag"]): part for part in listed}
    numbers = {part["PartNumber"] for part in listed}
    chosen, missing = [], []
    for part in parts:
        found = known.get((part.number, part.tag))
        if found is None and part.number in numbers:
            found = _newest_of(listed, part.number)
        if found is None or found["Size"] < part.size:
            missing.append(part.number)
        elif found["Size"] > part.size:
            text = _("Part %(n)d has %(got)d bytes instead of %(expected)d.")
            facts = {"n": part.number, "got": found["Size"], "expected": part.size}
            raise SizeMismatch(text % facts, expected=part.size, received=found["Size"])
        else:
            chosen.append((part.number, found["ETag"]))
    if missing:
        raise UploadIncomplete(missing=missing[:1000])
    return chosen
