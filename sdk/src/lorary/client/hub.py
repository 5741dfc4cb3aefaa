"""A hub as a Python object."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

from lorary.client import find_by_hash, tryouts
from lorary.client.config import endpoint_of, home_of, token_of
from lorary.client.curation import Curating
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session
from lorary.client.models import Account, Adapter, Image, Look, Token, Upload, Version
from lorary.client.names import Reference
from lorary.client.packs import Packing
from lorary.client.progress import OnProgress, silent
from lorary.client.transfers import publishing, pulling
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.publishing import Details, OnChecked, Pushed

if TYPE_CHECKING:
    from lorary.client.find_by_hash import Found, Match
    from lorary.client.transfers.pulling import Pulled
    from lorary.client.tryouts import Layer, Tryout

_PAGE = 100  # the longest that a hub gives
_MAX_HEADER_BYTES = 15 * 1024 * 1024
_MORE_BYTES = 1024 * 1024  # of what follows the header, where alphas may be

StrPath = str | os.PathLike[str]


class Hub(Curating, Packing):
    """A Lorary hub. Methods raise `lorary.client.errors.LoraryError` and nothing else of HTTP.

    Usable as a context manager, which closes its connections; several threads may share one.

    Args:
        endpoint: Address; else LORARY_ENDPOINT, else the one last signed in to, else
            http://127.0.0.1:8000.
        token: Access token; else LORARY_TOKEN, else the stored one for this address.
        home: Folder of tokens and cache; else LORARY_HOME, else ~/.lorary.
        timeout_s: Longest silence of the hub.

    Raises:
        SettingInvalid: one of these cannot be understood.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        home: StrPath | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        folder = home_of(home)
        self.endpoint = endpoint_of(folder, endpoint)
        self._cache = Cache(folder / "cache")
        found = token_of(folder, self.endpoint, token)
        self._session = Session(
            self.endpoint, found.secret, token_place=found.place, timeout_s=timeout_s
        )

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Hub({self.endpoint!r})"

    def close(self) -> None:
        """Close open connections; the hub stays usable."""
        self._session.close()

    def whoami(self) -> Account:
        """Return who the token belongs to.

        Raises:
            Unauthenticated: there is no token, or it is not valid.
        """
        return Account.read(self._session.json("GET", "me"))

    def search(  # noqa: PLR0913 - the filters of the catalogue, by keyword
        self,
        query: str = "",
        *,
        family: str = "",
        kind: str = "",
        tag: str | Sequence[str] = "",
        owner: str = "",
        sort: str = "",
        max_rating: str = "",
        limit: int | None = None,
    ) -> Iterator[Adapter]:
        """Yield adapters, asking for further pages as they are needed.

        Args:
            query: Words, phrases and fields to look for.
            family: Base-model family, such as ``sdxl``.
            kind: style, character, concept, …
            tag: A tag, or several that an adapter must all have.
            owner: A namespace.
            sort: ``relevance``, ``new``, ``updated`` or ``downloads``.
            max_rating: Highest content rating: ``general``, ``suggestive``, ``mature`` or
                ``explicit``.
            limit: At most so many; None for all.
        """
        parameters: dict[str, object] = {
            "q": query, "family": family, "kind": kind,
            "tag": tag if isinstance(tag, str) else tuple(tag), "owner": owner, "sort": sort,
            "max_maturity": max_rating,
            "limit": None if limit is None else min(max(limit, 1), _PAGE),
        }  # fmt: skip
        items = self._session.items("adapters", parameters)
        return islice((Adapter.read(item) for item in items), limit)

    def info(self, adapter: str | Reference) -> Adapter:
        """Return an adapter with its card and aliases."""
        return Adapter.read(self._session.json("GET", Reference.parse(adapter).api_path))

    def versions(self, adapter: str | Reference) -> tuple[Version, ...]:
        """Return the versions of an adapter, as the hub orders them."""
        path = f"{Reference.parse(adapter).api_path}/versions"
        items = self._session.items(path, {"limit": _PAGE})
        return tuple(Version.read(item) for item in items)

    def version(self, reference: str | Reference) -> Version:
        """Return one version: ``owner/name@v3``, an alias or a revision; the latest without."""
        return pulling.read_version(self._session, Reference.parse(reference))

    def inspect(self, path: StrPath) -> Look:
        """Ask the hub what it thinks of a file, sending its first bytes only.

        `lorary.inspect` does the same without a hub.

        Raises:
            OSError: the file cannot be read.
        """
        place = Path(path)
        with place.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            head = file.read(min(8 + length, _MAX_HEADER_BYTES) + _MORE_BYTES)
        size = place.stat().st_size
        root = self._session.api_root
        url = f"{root}/inspect?name={quote(place.name, safe='')}&size={size}"
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        request = Request("POST", url, headers, lambda: (head,), len(head), is_repeatable=True)
        return Look.read(self._session.ask(request))

    def find(self, what: StrPath, *, on_progress: OnProgress = silent) -> tuple[Match, ...]:
        """Return where the hub has a file, the versions that were published first at the front.

        A file stays here: the hub is asked by the SHA-256 of it all, and of what follows its
        header, which stays when metadata change.

        Args:
            what: A file, or a hash of any kind, in full or in its customary short form; a text
                that could be both is the file where there is one.
            on_progress: Told of every block.

        Raises:
            FileMissing: the file cannot be read.
        """
        asked = find_by_hash.wanted(what)
        if isinstance(asked, str):
            return find_by_hash.find(self._session, (asked,))
        return find_by_hash.find(self._session, find_by_hash.hashes_of(asked, on_progress))

    def find_all(
        self, wanted: Sequence[StrPath], *, on_progress: OnProgress = silent
    ) -> Generator[Found, None, None]:
        """Yield where the hub has each of several files, in their order, as answers come.

        They are hashed on all processors, and many are asked for in one request.

        Args:
            wanted: Files and hashes, as `find` takes them. What cannot be read is yielded with its
                ``error`` and does not end the others.
            on_progress: Told of every block, from several threads.
        """
        asked = [find_by_hash.wanted(one) for one in wanted]
        return find_by_hash.find_all(self._session, asked, on_progress)

    def pull(
        self,
        reference: str | Reference,
        *,
        to: StrPath | None = None,
        verify: bool = False,
        force: bool = False,
        all_files: bool = False,
        on_progress: OnProgress = silent,
    ) -> Pulled:
        """Bring a version here: resumed, verified, cached.

        Args:
            reference: ``owner/name[@version]``.
            to: Folder for the weights. A file with a generic name, such as
                ``pytorch_lora_weights.safetensors``, is written as ``owner--name.safetensors``;
                a further version gets ``--v2``. When left out, all files go into the cache's own
                folder, under their own names.
            verify: Read files that are here again instead of trusting size and time.
            force: Replace files in ``to`` that Lorary did not write, and the same file of another
                version.
            all_files: Write companions (README.md, samples) to ``to`` as well, into
                ``owner--name--v3/``.
            on_progress: Told of every block.

        Raises:
            NotFound: there is none, or it is not yours to see.
            Corrupt: other bytes arrived than the version lists; nothing was kept.
            TargetTaken: another file is in the place of one; nothing was fetched.
            TargetUnusable: files cannot be written to ``to``; nothing was fetched.
        """
        return pulling.pull(
            self._session,
            self._cache,
            Reference.parse(reference),
            to=pulling.Destination(
                None if to is None else Path(to).expanduser().absolute(),
                may_replace=force,
                has_companions=all_files,
            ),
            rehash=verify,
            on_progress=on_progress,
        )

    def push(  # noqa: PLR0913 - how to go about it, by keyword
        self,
        files: StrPath | Sequence[StrPath],
        to: str | Reference,
        *,
        details: Details | None = None,
        draft: bool = False,
        wait: bool = False,
        on_progress: OnProgress = silent,
        on_checked: OnChecked = publishing.accept_findings,
    ) -> Pushed:
        """Publish files as a version; the adapter is created when it is new.

        The same files again return the version that exists; they publish it if it is a draft.

        Args:
            files: One file, or several that belong together.
            to: ``owner/name``.
            details: What to say about it.
            draft: Leave it unpublished, seen by those alone who may publish it.
            wait: Return only when the pictures are there, or cannot be made; a draft has none.
            on_progress: Told of every block.
            on_checked: Told, before anything is sent, what was found in the files here, and of the
                adapter, None for a new one; what it raises ends the push.

        Raises:
            UploadRefused: a check found an error, here or on the hub.
            Unauthenticated, Forbidden: the token may not write there.
        """
        target = Reference.parse(to)
        places = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(f) for f in files]
        details = details or Details()
        pushed = publishing.push(
            self._session, target, places, details,
            on_progress=on_progress, on_checked=on_checked, is_draft=draft,
        )  # fmt: skip
        if not wait or pushed.version.state == "draft":
            return pushed
        exact = Reference(target.owner, target.name, pushed.version.revision)
        version = publishing.await_previews(self._session, exact, pushed.version, on_progress)
        return replace(pushed, version=version)

    def try_stack(  # noqa: PLR0913 - what makes a picture, by keyword
        self,
        layers: Sequence[str | Layer],
        prompt: str,
        *,
        negative: str | None = None,
        seed: int | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        triggers: bool = True,
        compare: bool = False,
        on_progress: OnProgress = silent,
    ) -> Tryout:
        """Have a stack of versions rendered, and return it with its picture.

        Only you see it until it is shared. Interrupting this (Ctrl-C) also stops the hub.

        Args:
            layers: Up to five of ``owner/name[@version][:strength]``, all of one base model.
            prompt: What the picture shows.
            negative: What it must not show.
            seed: Drawn by the hub when left out.
            width: In pixels, a multiple of 8; the base's own when left out.
            height: The same.
            steps: The base's own when left out.
            triggers: Put the trigger words of the stack into the prompt.
            compare: Also render it without the stack, as the first picture.
            on_progress: Told of steps.

        Raises:
            Invalid: something does not fit, such as two base models.
            NotFound: a version is not there, or not yours to see.
            RateLimited: too many are open, or were asked for today.
            LoraryError: ``render_failed``: there is no picture, and why.
        """
        settings = {
            "prompt": prompt, "negative": negative, "seed": seed, "width": width,
            "height": height, "steps": steps, "triggers": triggers, "compare": compare,
        }  # fmt: skip
        tryout = tryouts.ask(self._session, layers, settings)
        try:
            return tryouts.wait(self._session, tryout, on_progress)
        except KeyboardInterrupt:
            tryouts.remove(self._session, tryout)
            raise

    def picture(self, image: Image) -> bytes:
        """Return the bytes of a picture (PNG)."""
        return tryouts.picture(self._session, image)

    def uploads(self, limit: int | None = None) -> Iterator[Upload]:
        """Yield your uploads, the newest first, asking for further pages as they are needed.

        Args:
            limit: At most so many; None for all.
        """
        page = _PAGE if limit is None else min(max(limit, 1), _PAGE)
        items = self._session.items("uploads", {"limit": page})
        return islice((Upload.read(item) for item in items), limit)

    def cancel_upload(self, upload: Upload | str) -> None:
        """Drop an upload and what has arrived of it; cancelling twice is no error.

        Raises:
            NotFound: you have no such upload.
            StateConflict: a version holds its file.
        """
        number = upload.id if isinstance(upload, Upload) else upload
        self._session.json("DELETE", f"uploads/{quote(number, safe='')}")

    def tokens(self) -> tuple[Token, ...]:
        """Return your access tokens, without their secrets."""
        return tuple(Token.read(item) for item in self._session.items("tokens"))

    def create_token(
        self,
        name: str,
        scopes: Sequence[str] = ("read", "write"),
        *,
        days: int | None = None,
        bound_to: str = "",
    ) -> Token:
        """Make an access token; its ``secret`` is never shown again.

        It expires no later than the token of this client, and is revoked with that.

        Args:
            name: What it is for.
            scopes: What it may do.
            days: After how many days it expires; 0 for never, None for what the hub decides.
            bound_to: ``owner`` or ``owner/name``, to limit it to that.
        """
        data: dict[str, object] = {"name": name, "scopes": list(scopes)}
        if days is not None:
            data["expires_in_days"] = days
        if bound_to:
            data["bound_to"] = bound_to
        return Token.read(self._session.json("POST", "tokens", data=data))

    def revoke_token(self, token: Token | int) -> None:
        """Revoke an access token, and those that it made.

        Raises:
            NotFound: you have no such token.
        """
        number = token.id if isinstance(token, Token) else token
        self._session.json("DELETE", f"tokens/{number}")

    def revoke_tokens(self) -> int:
        """Revoke all your access tokens, this client's too; return how many worked until now."""
        return Record(self._session.json("DELETE", "tokens"), "answer").whole("revoked")
