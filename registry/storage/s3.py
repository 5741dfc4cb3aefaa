"""Blobs in a bucket of an S3 server.

```
<prefix>incoming/<private key>            one multipart upload, then one object
<prefix>blobs/ab/cd/<sha256>              set by promotion, always to the same bytes
```

A private key is opened once: its first part, or the first link to one, begins its only multipart
upload. When that is joined, nothing can be written to the key any more, from whatever machine and
with whatever link: what was hashed is what is promoted. Which state a key is in, the bucket
itself knows: neither upload nor object (not opened), an upload (open), an object (sealed). So no
process has to remember anything, and several machines may share a bucket. Only opening is for one
at a time: who makes a key up opens it before telling others.

Promotion is a copy inside the server, also over a blob that is there: it may have been damaged, and
to read it would cost more. Several at once write the same bytes over each other. A copy may have
another tag than the one before, so who reads a blob goes by its name alone.

Source: Amazon S3 API reference; https://docs.aws.amazon.com/AmazonS3/latest/API/.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, overload

from django.utils.translation import gettext as _

from registry.errors import StorageAway, UploadIncomplete
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
from registry.storage.listed import chosen_of
from registry.storage.ranged import Ranged
from registry.storage.reaching import RETRY_AFTER_S, Unconditional, client_of, reaching
from registry.storage.spooling import pieces_of, spooled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from registry.storage.places import BucketPlace
    from registry.storage.spooling import Spool

__all__ = ["LEAST_PART_BYTES", "MOST_PARTS", "S3Store"]

#: What S3 takes: parts of 5 MiB and more but for the last, and so many of them.
LEAST_PART_BYTES, MOST_PARTS = 5 * 2**20, 10_000
#: Objects up to this size are copied by one request; S3 itself ends at 5 GB. Longer ones go in
#: stretches, so that no request outlives a connection.
COPY_BYTES = 2**30
#: Seconds for which a link to send a part to is good.
PART_LINK_S = 3600
#: Seconds for which links go by the last look at an upload, and of how many that is remembered.
LATELY_S, LINKED = 5.0, 1000


class S3Store:
    """A bucket; see ``BlobStore`` for what each verb promises."""

    def __init__(self, place: BucketPlace) -> None:
        self.place = place
        self._opening = threading.Lock()
        self._linked: dict[str, tuple[float, str]] = {}

    @property
    def client(self) -> S3Client:
        """What requests go through."""
        return client_of(self.place, self.place.endpoint)

    def write(self, key: str, chunks: Iterable[bytes], *, part: Part | None = None) -> str:
        """Send what came whole, from a file without a name: it can be sent again, or not at all."""
        if part is None:
            return self._write_whole(key, chunks)
        upload = self._opened(key)
        with spooled(chunks) as body:
            return self._send(key, upload, part.number, body)

    def assemble(self, key: str, parts: Sequence[Part]) -> None:
        """Complete the multipart upload with parts of the right length.

        A server that goes on joining for a process that is dead may list some parts no more.
        """
        self._linked.pop(key, None)
        absent = UploadIncomplete(missing=[part.number for part in parts][:1000])
        try:
            if (upload := self._found(key)) is not None:
                self._complete(key, upload, chosen_of(parts, self._listed(key, upload)))
                return
        except (FileNotFoundError, FileExistsError):  # others were first
            pass
        except UploadIncomplete as refusal:
            absent = refusal
        if self._size(self._private(key)) != sum(part.size for part in parts):
            raise absent

    def promote(self, key: str, sha256: str) -> None:
        """Copy inside the server, look whether it is all there, remove the private object."""
        source, target = self._private(key), self._blob(sha256)
        size, tag = self._head(source)
        self._copy(source, target, size, tag)
        if self._size(target) != size:
            text = _("A copy inside the bucket did not come out. Try again soon.")
            raise StorageAway(text, retry_after=RETRY_AFTER_S)
        self.delete(key)

    def open(self, name: str) -> Handle:
        """Look how long it is; reading asks for stretches, of a private file of this very one."""
        place = self._of(name)
        size, tag = self._head(place)
        same = {} if is_digest(name) else {"IfMatch": tag}

        def fetch(first: int, last: int) -> StreamingBody:
            stretch = f"bytes={first}-{last}"
            asked = self._call("get_object", Key=place, Range=stretch, **same)
            body: StreamingBody = asked["Body"]
            return body

        return Handle(Ranged(name, size, fetch), size)

    @overload
    def link(self, name: str, way: Fetch) -> str | None: ...
    @overload
    def link(self, name: str, way: Part) -> str | None: ...
    def link(self, name: str, way: Fetch | Part) -> str | None:
        """Sign an address; one for a part takes exactly the bytes that the part must have."""
        asked: dict[str, Any]
        upload = self._opened_lately(name) if isinstance(way, Part) else ""
        if not self.place.has_links:
            return None
        if isinstance(way, Part):
            asked = {"UploadId": upload, "PartNumber": way.number, "ContentLength": way.size}
            return self._signed("upload_part", self._private(name), asked, PART_LINK_S)
        asked = {"ResponseContentType": way.content_type}
        if way.disposition:
            asked["ResponseContentDisposition"] = way.disposition
        return self._signed("get_object", self._of(name), asked, way.seconds)

    def delete(self, name: str, *, is_partial: bool = False) -> None:
        """End every multipart upload of the name and remove its object."""
        place = self._of(name)
        self._linked.pop(name, None)
        for upload in self._uploads(place):
            self._abort(place, upload)
        if not is_partial:
            with suppress(FileNotFoundError):
                self._call("delete_object", Key=place)

    def names(self, key: str = "") -> Iterator[Entry]:
        """Yield objects, then uploads that are not complete; of one key, each part by itself."""
        if key:
            yield from self._of_key(key)
            return
        for page in self._pages("list_objects_v2", Prefix=self.place.prefix):
            for found in page.get("Contents", []):
                if name := self._name(found["Key"]):
                    yield Entry(name, found["LastModified"].timestamp(), found["Size"])
        for page in self._pages("list_multipart_uploads", Prefix=self.place.prefix):
            for found in page.get("Uploads", []):
                if name := self._name(found["Key"]):
                    yield Entry(name, found["Initiated"].timestamp(), 0, is_partial=True)

    # --- writing --------------------------------------------------------------------------------

    def _write_whole(self, key: str, chunks: Iterable[bytes]) -> str:
        """Send a file in pieces as it comes; what fits into one is sent as one object."""
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
        asked = {"Key": self._private(key), "Body": body.file, "ContentLength": body.size}
        done = self._once("put_object", asked)
        return str(done["ETag"])

    def _send(self, key: str, upload: str, number: int, body: Spool) -> str:
        body.file.seek(0)
        asked = {"UploadId": upload, "PartNumber": number, "ContentLength": body.size}
        try:
            done = self._call("upload_part", Key=self._private(key), Body=body.file, **asked)
        except FileNotFoundError as error:  # joined meanwhile, or given up
            raise FileExistsError(key) from error
        return str(done["ETag"])

    def _complete(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        self._once("complete_multipart_upload", self._joining(self._private(key), upload, parts))

    def _joining(self, place: str, upload: str, parts: Sequence[tuple[int, str]]) -> dict[str, Any]:
        listed = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in parts]}
        return {"Key": place, "UploadId": upload, "MultipartUpload": listed}

    def _copy(self, source: str, target: str, size: int, tag: str) -> None:
        origin = {"Bucket": self.place.bucket, "Key": source}
        asked: dict[str, Any] = {"Key": target, "CopySource": origin, "CopySourceIfMatch": tag}
        if size <= COPY_BYTES:
            self._call("copy_object", **asked)
            return
        upload = self._call("create_multipart_upload", Key=target)["UploadId"]
        try:
            parts = self._copied(asked, upload, size)
            self._call("complete_multipart_upload", **self._joining(target, upload, parts))
        except BaseException:
            self._abort(target, upload)
            raise

    def _copied(self, asked: dict[str, Any], upload: str, size: int) -> list[tuple[int, str]]:
        """Copy an object by stretches and return their numbers and tags."""
        step, parts = max(COPY_BYTES, math.ceil(size / MOST_PARTS)), []
        for number, first in enumerate(range(0, size, step), start=1):
            stretch = f"bytes={first}-{min(first + step, size) - 1}"
            more = {"UploadId": upload, "PartNumber": number, "CopySourceRange": stretch}
            done = self._call("upload_part_copy", **asked, **more)
            parts.append((number, str(done["CopyPartResult"]["ETag"])))
        return parts

    def _abort(self, place: str, upload: str) -> None:
        with suppress(FileNotFoundError):
            self._call("abort_multipart_upload", Key=place, UploadId=upload)

    # --- looking --------------------------------------------------------------------------------

    def _opened(self, key: str) -> str:
        """Return the multipart upload of a key; begin it if there never was one.

        Raises:
            FileExistsError: it is joined already.
        """
        with self._opening:
            if found := self._found(key):
                return found
            place = self._private(key)
            if self._size(place) is not None:
                raise FileExistsError(key)
            return str(self._call("create_multipart_upload", Key=place)["UploadId"])

    def _opened_lately(self, key: str) -> str:
        """Do the same for many links in a row by one look.

        A link to an upload that was joined or ended since leads nowhere, so this may be late.
        """
        now = time.monotonic()
        at, upload = self._linked.get(key, (0.0, ""))
        if not upload or now - at > LATELY_S:
            upload = self._opened(key)
            if len(self._linked) >= LINKED:
                self._linked.clear()
            self._linked[key] = now, upload
        return upload

    def _found(self, key: str) -> str | None:
        """Return the multipart upload of a key, None where none is open."""
        return next(self._uploads(self._private(key)), None)

    def _uploads(self, place: str) -> Iterator[str]:
        """Yield the multipart uploads of an object, the oldest first."""
        found = [
            (one["Initiated"], one["UploadId"])
            for page in self._pages("list_multipart_uploads", Prefix=place)
            for one in page.get("Uploads", [])
            if one["Key"] == place
        ]
        yield from (upload for _begun, upload in sorted(found))

    def _listed(self, key: str, upload: str) -> list[dict[str, Any]]:
        pages = self._pages("list_parts", Key=self._private(key), UploadId=upload)
        return [part for page in pages for part in page.get("Parts", [])]

    def _of_key(self, key: str) -> Iterator[Entry]:
        """Yield each part, on some servers also what it replaced; or what they were joined to."""
        with suppress(FileNotFoundError):
            if upload := self._found(key):
                for part in self._listed(key, upload):
                    changed, number = part["LastModified"].timestamp(), part["PartNumber"]
                    yield Entry(key, changed, part["Size"], number, part["ETag"], is_partial=True)
                return
        with suppress(FileNotFoundError):
            found = self._call("head_object", Key=self._private(key))
            yield Entry(key, found["LastModified"].timestamp(), found["ContentLength"])

    def _head(self, place: str) -> tuple[int, str]:
        found = self._call("head_object", Key=place)
        return int(found["ContentLength"]), str(found["ETag"])

    def _size(self, place: str) -> int | None:
        try:
            return self._head(place)[0]
        except FileNotFoundError:
            return None

    # --- asking ---------------------------------------------------------------------------------

    def _call(self, verb: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
        with reaching(str(asked.get("Key", ""))):
            request: Callable[..., dict[str, Any]] = getattr(self.client, verb)
            return request(Bucket=self.place.bucket, **asked)

    def _once(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Ask if there is no such object yet, and anyway where the server knows no conditions."""
        try:
            return self._call(verb, **asked, IfNoneMatch="*")
        except Unconditional:
            return self._call(verb, **asked)

    def _pages(self, verb: str, **asked: Any) -> Iterator[Any]:  # noqa: ANN401 - boto3's
        with reaching(str(asked.get("Key", asked.get("Prefix", "")))):
            paginator: Any = self.client.get_paginator(verb)  # type: ignore[call-overload]  # any
            yield from paginator.paginate(Bucket=self.place.bucket, **asked)

    def _signed(self, verb: str, place: str, asked: dict[str, Any], seconds: int) -> str:
        client = client_of(self.place, self.place.links or self.place.endpoint)
        named = {"Bucket": self.place.bucket, "Key": place, **asked}
        with reaching(place):
            return client.generate_presigned_url(verb, Params=named, ExpiresIn=seconds)

    # --- naming ---------------------------------------------------------------------------------

    def _of(self, name: str) -> str:
        return self._blob(name) if is_digest(name) else self._private(name)

    def _private(self, key: str) -> str:
        return f"{self.place.prefix}incoming/{check_key(key)}"

    def _blob(self, sha256: str) -> str:
        folder = f"{check_digest(sha256)[:2]}/{sha256[2:4]}"
        return f"{self.place.prefix}blobs/{folder}/{sha256}"

    def _name(self, place: str) -> str:
        """Return the name that an object has here, "" if it is none of ours."""
        name = place.rpartition("/")[2]
        is_ours = (is_key(name) or is_digest(name)) and self._of(name) == place
        return name if is_ours else ""
