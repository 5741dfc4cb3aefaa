"""Random requests, determined by seed and number. Needs Django's settings."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from tools.fuzz.endpoints.addresses import CIVITAI
from tools.fuzz.endpoints.bodies import KINDS, body_for, method_of
from tools.fuzz.endpoints.framing import framed
from tools.fuzz.endpoints.words import BOBS, ODD_PARTS, value_of, with_private_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.fuzz.endpoints.addresses import Address
    from tools.fuzz.endpoints.words import Known

#: Callers: anonymous, a user with a token to read, ada with such a token, and bob, who may write
#: but has no access to ada's adapters.
STRANGER, READER, OWNER, BOB = "stranger", "reader", "owner with a token to read", "other user"
CALLERS = (STRANGER, READER, OWNER, BOB)
_SHARES = (35, 15, 10, 40)

#: Share of valid requests, and of those in which only URL and body may be invalid, so that they
#: reach more code.
TRUE, PLAIN = 0.3, 0.3
_SAFE = frozenset({"GET", "HEAD"})
_METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")
_RARE = ("TRACE", "CONNECT", "PROPFIND", "MKCOL", "X", "GET2", "UNLOCK")
_NAMES = (
    "limit", "cursor", "expand", "expand[]", "filter", "search", "author", "sort", "gated", "full",
    "pipeline_tag", "blobs", "recursive", "securityStatus", "create_pr", "include_prs", "formatted",
    "inference", "cardData", "query", "page", "types", "baseModels", "nsfw", "period", "ids",
    "username", "tag", "primaryFileOnly", "favorites", "modelId", "modelVersionId", "imageId",
    "postId", "userId", "withMeta", "type", "format", "size", "fp", "modelFileId", "epoch", "token",
    "response-content-disposition", "allowCommercialUse", "checkpointType", "direction", "x",
)  # fmt: skip
_VALUES = (
    "1", "0", "true", "false", "True", "-1", "9" * 40, "AllTime", "Newest", "Most Downloaded",
    "LORA", "LORA,LoCon", "film", "ada", "bob", "noir", "SafeTensor", "fp16", "lastModified",
    "downloads", "createdAt", "siblings", "base_model:x/y", "license:mit", "a," * 220, "1e9", "%",
    "%00", "", "x" * 1_200, "SD 1.5", "bm9wZQ==", "eyJhIjoxfQ",
)  # fmt: skip
_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Range", b"bytes=-0"), (b"Range", b"bytes=9-1"), (b"Range", b"bytes=0-9,20-30"),
    (b"Range", b"x"), (b"Range", b"bytes=1-" + b"9" * 99), (b"If-Match", b'"x"'),
    (b"If-None-Match", b"*"), (b"If-Range", b"x"), (b"If-Modified-Since", b"yesterday"),
    (b"Accept", b"text/plain"), (b"Accept", b"*/*;q=x,,;"), (b"Accept-Language", b"xx-\xe9,*;q=9"),
    (b"Accept-Encoding", b"gzip, \xff"), (b"Cookie", b"sessionid=" + b"a" * 32),
    (b"Cookie", b"\xff=\xff; =; sessionid"), (b"X-CSRFToken", b"x"), (b"Origin", b"null"),
    (b"Referer", b"http://[::1"), (b"X-HTTP-Method-Override", b"DELETE"), (b"HX-Request", b"true"),
    (b"User-Agent", b"huggingface_hub/1.0; hf_hub\xff"), (b"Content-Encoding", b"gzip"),
    (b"Expect", b"100-continue"), (b"X-Forwarded-Proto", b"https"), (b"Upgrade", b"h2c"),
    (b"X-Forwarded-Proto", b"\xff"), (b"Forwarded", b"for=x"), (b"X-Long", b"y" * 6_000),
    (b"Content-MD5", b"x"), (b"Connection", b"close, x"), (b"SCRIPT_NAME", b"/x"),
    (b"PATH_INFO", b"/"), (b"X-Repo-Commit", b"0" * 40), (b"Content-Language", b"en\xc3"),
)  # fmt: skip
#: Headers that are answered before any view.
_HOSTS: tuple[tuple[bytes, bytes], ...] = (
    (b"Host", b"evil.example"), (b"Host", b""), (b"Host", b"127.0.0.1:x"), (b"Host", b"a\xffb"),
    (b"X-Forwarded-Host", b"evil.example"), (b"X-Forwarded-Host", b"[::1"),
)  # fmt: skip
_SECRETS: tuple[bytes, ...] = (
    b"Bearer", b"Bearer ", b"Basic eDp5", b"Bearer \xff\xfe", b"Bearer hf_" + b"a" * 34,
    b"Bearer lor_" + b"a" * 43, b"bearer x y", b"Digest x", b"Bearer " + b"z" * 5_000, b"",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FuzzRequest:
    """A request as bytes.

    Attributes:
        caller: One of ``CALLERS``.
        method: As sent.
        target: Path and query, as sent.
        data: The whole request.
        body: The body before its transfer coding.
        is_cut: Whether the client closes its side after it.
        is_sound: Whether it is valid HTTP for this host.
    """

    caller: str
    method: str
    target: bytes
    data: bytes
    body: bytes
    is_cut: bool
    is_sound: bool

    def is_twin_of(self, other: FuzzRequest, known: Known) -> bool:
        """Whether a request equals one about the private adapter, except for the adapter.

        That is not so if the name was cut or changed. An unsafe request that differs only in its
        query is not a twin either: it would make the same change again.
        """
        path, its_path = self.target.partition(b"?")[0], other.target.partition(b"?")[0]
        is_other = (path, self.body) != (its_path, other.body)
        is_other |= self.method in _SAFE and self.target != other.target
        said, body = with_private_names(known, self.target), with_private_names(known, self.body)
        return is_other and (said, body) == (other.target, other.body)


def caller_of(seed: int, number: int) -> str:
    """Return the caller of a request."""
    return Random(f"{seed}:{number}:caller").choices(CALLERS, _SHARES)[0]


def turns(all_of_them: Sequence[Address]) -> list[Address]:
    """Return addresses in the order of requests, three times those of unsafe methods."""
    writing = [one for one in all_of_them if method_of(one.route) != "GET"]
    return [*all_of_them, *writing, *writing]


def request_for(seed: int, number: int, order: Sequence[Address], known: Known) -> FuzzRequest:
    """Return a request.

    Args:
        seed: Seed of the run.
        number: Number of the request; the first ones are valid, so that every address is covered.
        order: Addresses, which are used in turn.
        known: Names, ids and tokens for requests.
    """
    caller, random = caller_of(seed, number), Random(f"{seed}:{number}")
    known = known if caller == BOB else known.without_links
    address, care = order[number % len(order)], _care(number < len(order), random)
    usual = method_of(address.route)
    is_usual = care.is_true or random.random() < 0.5
    method = usual if is_usual else random.choice(_RARE if random.random() < 0.08 else _METHODS)
    path = address.filled(_values(address, random, known, is_true=care.is_true))
    if not care.is_plain and random.random() < 0.2:
        path = _bent(path, random)
    token = known.tokens.get(caller, "")
    is_in_query = bool(token) and address.protocol == CIVITAI and random.random() < 0.1
    query = _query(random, known, token if is_in_query else "", care)
    headers, is_here = _headers(random, care)
    if not is_in_query:
        secret = known.grant if caller == BOB and path.startswith("/xet/") else token
        headers += _authorization(random, secret, care)
    wants_body = usual != "GET" if is_usual else method in {"POST", "PUT", "PATCH"}
    body = b""
    if wants_body or (not care.is_true and random.random() < 0.1):
        body = body_for(address.route, path, random, known, is_true=care.is_true)
    frame = framed(random, body, is_needed=wants_body, is_plain=care.is_plain)
    if frame.headers or body:
        headers.append((b"Content-Type", KINDS[0] if care.is_true else random.choice(KINDS)))
    target = (path + query).encode()
    start = b"%s %s HTTP/1.1" % (method.encode(), target)
    head = [start, *(b"%s: %s" % one for one in [*headers, *frame.headers])]
    return FuzzRequest(
        caller, method, target, b"\r\n".join(head) + b"\r\n\r\n" + frame.payload, body,
        is_cut=frame.is_cut, is_sound=frame.is_sound and is_here,
    )  # fmt: skip


class _Care(NamedTuple):
    """Whether all of a request is as it should be, or at least all but address and body."""

    is_true: bool
    is_plain: bool


def _care(is_first: bool, random: Random) -> _Care:
    share = random.random()
    is_true = is_first or share < TRUE
    return _Care(is_true=is_true, is_plain=is_true or share < TRUE + PLAIN)


def _values(address: Address, random: Random, known: Known, *, is_true: bool) -> list[str]:
    """Return a value for each parameter; those of bob's adapters often fit together."""
    names, is_adapter = address.parameters, address.route.startswith("api/v1/models/")
    odd = 0.0 if is_true else 0.15
    values = [value_of(one, random, known, is_adapter=is_adapter, odd=odd) for one in names]
    if names[:2] == ["owner", "name"] and values[0] == "bob":
        values[1] = random.choice(BOBS[:8])  # no body names these to remove or rename them
        if names[2:] == ["ref"] and random.random() < 0.7:
            values[2] = "main"
    return values


def _bent(path: str, random: Random) -> str:
    """Return a path with something in it that does not belong there."""
    place = random.randrange(1, len(path))
    extra = random.choice((*ODD_PARTS, "/", "//", "/../", "/./", ";a=b", "%", "%2", "#", "+", "\\"))
    return random.choice([
        path[:place] + quote(extra, safe="/%;#+\\") + path[place:], path[:place], path + "/",
        path.upper(), f"{path}/{quote(extra, safe='/%')}", "/" + path,
    ])  # fmt: skip


def _query(random: Random, known: Known, token: str, care: _Care) -> str:
    pairs = [f"token={token}"] * bool(token)
    if not care.is_true and random.random() < (0.2 if care.is_plain else 0.6):
        for _ in range(random.choice((1, 1, 2, 3, 40))):
            name = random.choice(_NAMES)
            pairs.append(f"{name}={quote(_parameter_value(name, random, known), safe='%')}")
    if not care.is_plain and random.random() < 0.05:
        pairs.append(random.choice(("%ff=%fe", "&&&", "=", "a" * 3_000, "?", "a=b;c=d", "%")))
    return f"?{'&'.join(pairs)}" if pairs else ""


def _parameter_value(name: str, random: Random, known: Known) -> str:
    """Return a value; numbers of the private adapter where they mean that, and nowhere else."""
    private = known.private
    numbers = {
        "ids": private.adapter, "modelId": private.adapter, "modelVersionId": private.version,
        "modelFileId": private.file,
    }  # fmt: skip
    if name in numbers and random.random() < 0.6:
        return numbers[name]
    names = (private.name, f"ada/{private.name}", private.digest)
    return random.choice((*_VALUES, *names, *known.numbers))


def _headers(random: Random, care: _Care) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Return headers, and whether they say that this hub is meant."""
    address = ".".join(str(random.randrange(1, 255)) for _ in range(4))
    found = [(b"X-Forwarded-For", address.encode())]
    found.append((b"Connection", b"keep-alive" if random.random() < 0.1 else b"close"))
    if not care.is_plain and random.random() < 0.6:
        found += random.sample(_HEADERS, random.choice((1, 1, 2, 4)))
    if not care.is_plain and random.random() < 0.04:
        odd = random.choice(_HOSTS)
        return [*found, odd, *[(b"Host", b"127.0.0.1")] * (odd[0] != b"Host")], False
    return [*found, (b"Host", b"127.0.0.1")], True


def _authorization(random: Random, secret: str, care: _Care) -> list[tuple[bytes, bytes]]:
    if secret:
        scheme = random.choice((b"Bearer", b"Bearer", b"bearer", b"BEARER"))
        return [(b"Authorization", scheme + b" " + secret.encode())]
    odd = random.choice(_SECRETS)
    return [(b"Authorization", odd)] if not care.is_true and random.random() < 0.15 else []
