"""Words that requests are made of: what there is on the shelf, and what is nowhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

#: Parts of a path that no adapter, revision or file has in its name.
ODD_PARTS = (
    "ada", "noir", "main", "v1", "v0", "v99999999999", "0" * 40, "..", ".", "%2e%2e", "%2F", "%00",
    "%FF%FE", "a%20b", "x" * 300, "é", "%ed%a0%80", "noir.safetensors", "refs%2Fpr%2F1", "'",
    "%27%22", "%0d%0aX:%20y", "-1", "[]", "{}", "%25", "latest", "HEAD",
)  # fmt: skip

#: Stands in whatever people wrote about the private adapter, and in no request.
MARK = "zyxwvquartz"
#: Adapters that belong to the other user.
BOBS = tuple(f"own{number}" for number in range(10))

_REFS = ("main", "main", "v1", "v2", "latest", "HEAD", "feat%2Frain", "refs%2Fpr%2F1")
_FILES = ("noir.safetensors", "README.md", "adapter_config.json", "sub/a.txt", "")
#: Calls of the Hub that this one does not offer, and addresses of other kinds of repos.
_ELSEWHERE = ("discussions", "super-squash/main", "likers", "a/b/resolve/main/x.txt", "lfs-files")


@dataclass(frozen=True, slots=True)
class Private:
    """How the private adapter is called, in words that are as long as those of nobody.

    Numbers of adapter, version and file have ten digits: both protocols read zeros before them.
    """

    name: str
    adapter: str
    version: str
    file: str
    digest: str
    commit: str

    @property
    def words(self) -> tuple[str, ...]:
        """All of them, and the beginning of the digest that some clients know files by."""
        whole = (self.name, self.adapter, self.version, self.file, self.digest, self.commit)
        return (*whole, self.digest[:SHORT])


#: Digits of a digest that are enough for some clients.
SHORT = 10
#: What no adapter is called.
ABSENT = Private(
    "absent", "2000000001", "2000000002", "2000000003", "ab" * 32, "cd" * 20
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What callers have learned.

    Attributes:
        tokens: Caller to the secret of a token.
        private: The adapter that only ada and her tokens may know of.
        numbers: Of public and unlisted adapters, versions and files.
        digests: Of their files.
        commits: Of theirs.
        passes: Signed ends of download addresses.
        links: Signed ends of upload addresses of bob's, with the bytes that they are for.
        session: Where bob sends xorbs.
        grant: With which secret.
    """

    tokens: Mapping[str, str]
    private: Private
    numbers: tuple[str, ...]
    digests: tuple[str, ...]
    commits: tuple[str, ...]
    passes: tuple[str, ...] = ("x:y:z",)
    links: tuple[tuple[str, bytes], ...] = ()
    session: str = "0" * 32
    grant: str = ""

    @property
    def without_links(self) -> Known:
        """The same for others than bob: of his links they know how they begin."""
        return replace(self, links=tuple((link[:-1], data) for link, data in self.links))

    @property
    def without_private(self) -> Known:
        """The same, with a name for the private adapter that is nobody's."""
        return replace(self, private=ABSENT)


def with_private_names(known: Known, text: bytes) -> bytes:
    """Return a text about the absent adapter with the names of the private one."""
    for mine, its in zip(known.private.words, ABSENT.words, strict=True):
        text = text.replace(its.encode(), mine.encode())
    return text


def value_of(
    parameter: str, random: Random, known: Known, *, is_adapter: bool = False, odd: float = 0.0
) -> str:
    """Return a value for a parameter of an address, quoted; mostly one that there is.

    Args:
        parameter: Its name.
        random: Chooses.
        known: From this.
        is_adapter: Whether a number is one of an adapter, else it is one of a version. The private
            one's must not stand where it would be the number of something else.
        odd: How often it is one that hardly anything has.
    """
    if random.random() < odd:
        return random.choice(ODD_PARTS)
    if parameter == "number_text":
        private = known.private.adapter if is_adapter else known.private.version
        return random.choice((*known.numbers, private, private))
    if parameter == "name" and random.random() < 0.05:
        return random.choice(BOBS)
    return random.choice(_choices(parameter, known))


def _choices(parameter: str, known: Known) -> tuple[str, ...]:
    private = known.private
    fixed: dict[str, tuple[str, ...]] = {
        "owner": ("ada", "ada", "ada", "ada", "bob", "bob", "ADA", "carol"),
        "name": ("noir", "noir", private.name, private.name, "quiet", "nothing"),
        "ref": (*_REFS, *known.commits, private.commit),
        "value": (*known.digests, private.digest, known.digests[0][:SHORT], private.digest[:SHORT]),
        "signed": known.passes,
        "link": ("x:y:z", *(link for link, _data in known.links)),
        "session": (known.session, known.session, "0" * 32),
        "xorb_hash": (*known.digests, private.digest, "0" * 64),
    }
    if parameter == "rest":
        return (*(f"{ref}/{file}" for ref in _REFS[:3] for file in _FILES), *_ELSEWHERE,
                f"{private.commit}/{_FILES[0]}")  # fmt: skip
    return fixed.get(parameter, ("x",))
