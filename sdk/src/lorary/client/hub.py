"""A hub as a Python object."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from lorary.client import samples, tryouts
from lorary.client.config import endpoint_of, home_of, token_of, token_of_named
from lorary.client.curation import Curating
from lorary.client.errors import LoraryError
from lorary.client.finding import by_hash
from lorary.client.finding.by_sketch import Relative, find_relatives
from lorary.client.http.json_answers import Record
from lorary.client.http.session import Request, Session
from lorary.client.models import Account, Adapter, Image, Look, Token, Upload, Version, check_rating
from lorary.client.names import Reference, absolute, as_list, is_hub_name, require_no_version
from lorary.client.notebooks.results import Results, require_limit
from lorary.client.packs import PREFIX, Packing, parse
from lorary.client.progress import OnProgress, silent
from lorary.client.reports import Report, read_report
from lorary.client.resolving.calls import Resolving
from lorary.client.transfers import pack_pulling, publishing, pulling, several
from lorary.client.transfers.cache import Cache
from lorary.client.transfers.derived import Form
from lorary.client.transfers.details import Details, naming_family
from lorary.client.transfers.folders import Folder
from lorary.client.transfers.publishing import OnChecked, Pushed
from lorary.client.transfers.reading import Reading
from lorary.limits import JOBS
from lorary.replacing import StrPath

if TYPE_CHECKING:
    from lorary.client.finding.by_hash import Found, Match
    from lorary.client.transfers.pack_pulling import FoundPack, PulledPack
    from lorary.client.transfers.pulling import Found as FoundVersion
    from lorary.client.transfers.pulling import Pulled
    from lorary.client.transfers.several import Names, Outcome
    from lorary.client.tryouts import Layer, Tryout

_PAGE = 100  # maximum page size of a hub
_MAX_HEADER_BYTES = 15 * 1024 * 1024
_MORE_BYTES = 1024 * 1024  # bytes after the header to send; they may contain alphas


class Hub(Curating, Packing, Reading, Resolving):
    """A Lorary hub. Methods raise `lorary.client.errors.LoraryError`, no HTTP errors.

    It is a context manager, which closes its connections; it may be shared by several threads.

    Args:
        endpoint: Address, or the name of a hub (`lorary hub`); by default LORARY_ENDPOINT, then the
            hub last signed in to, then http://127.0.0.1:8000.
        token: Access token; by default LORARY_TOKEN, then the stored token for this address. For
            a hub that is given by its name, LORARY_TOKEN is used only if it is the hub in use.
            ``""`` means none: the hub is used without an account.
        home: Folder for tokens and the cache; by default LORARY_HOME, then ~/.lorary.
        timeout_s: Maximum time without data from the hub, in seconds, in each attempt.

    Raises:
        SettingInvalid: one of these values is invalid.
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
        is_named = token is None and endpoint is not None and is_hub_name(endpoint)
        found = (
            token_of_named(folder, self.endpoint)
            if is_named
            else token_of(folder, self.endpoint, token)
        )
        self._session = Session.with_token(self.endpoint, found, timeout_s=timeout_s)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Hub({self.endpoint!r})"

    def close(self) -> None:
        """Close open connections; the hub can still be used."""
        self._session.close()

    def whoami(self) -> Account:
        """Return the account that the token belongs to.

        Raises:
            Unauthenticated: there is no token, or it is invalid.
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
    ) -> Results[Adapter]:
        """Return an iterator over adapters, which requests further pages as needed.

        Args:
            query: Words, phrases and fields to search for.
            family: Base-model family, such as ``sdxl``.
            kind: style, character, concept, …
            tag: A tag, or several tags that an adapter must all have.
            owner: A namespace.
            sort: ``relevance``, ``new``, ``updated`` or ``downloads``.
            max_rating: Highest content rating: ``general``, ``suggestive``, ``mature`` or
                ``explicit``.
            limit: Maximum number; None for all.

        Raises:
            Invalid: the limit is negative, or there is no such rating; with the first result, that
                there is no such family.
        """
        require_limit(limit)
        if max_rating:
            check_rating(max_rating, "max_rating")
        parameters: dict[str, object] = {
            "q": query, "family": family, "kind": kind,
            "tag": tag if isinstance(tag, str) else tuple(tag), "owner": owner, "sort": sort,
            "max_maturity": max_rating,
            "limit": None if limit is None else min(max(limit, 1), _PAGE),
        }  # fmt: skip
        first: dict[str, object] = {}

        def adapters() -> Iterator[Adapter]:
            with naming_family(family):
                yield from map(Adapter.read, self._session.items("adapters", parameters, first))

        return Results(islice(adapters(), limit), first)

    def info(self, adapter: str | Reference) -> Adapter:
        """Return an adapter with its card and aliases."""
        return Adapter.read(self._session.json("GET", Reference.parse(adapter).api_path))

    def versions(self, adapter: str | Reference) -> tuple[Version, ...]:
        """Return the versions of an adapter, in the hub's order."""
        path = f"{Reference.parse(adapter).api_path}/versions"
        items = self._session.items(path, {"limit": _PAGE})
        return tuple(Version.read(item) for item in items)

    def version(self, reference: str | Reference) -> Version:
        """Return one version: ``owner/name@v3``, an alias or a revision; by default the latest."""
        return pulling.read_version(self._session, Reference.parse(reference))

    def report(self, reference: str | Reference, *, variant: str = "") -> Report:
        """Return the look report of a version, whose figures may not be measured yet.

        Args:
            reference: A version of an adapter, or ``pack:owner/name[@version]``.
            variant: Name of a variant of the pack; by default the first with a report.

        Raises:
            NotFound: there is no such version, or it has no report yet.
        """
        return read_report(self._session, reference, variant)

    def inspect(self, path: StrPath) -> Look:
        """Have the hub inspect a file; only its first bytes are sent.

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
        """Return the matches of a file on the hub, the earliest published versions first.

        The file is not sent: the hub is asked for the SHA-256 of the whole file, and of the data
        after its header, which does not change when the metadata is edited.

        Args:
            what: A file, or a hash of any kind, in full or in its usual short form; if it could be
                both, an existing file takes precedence.
            on_progress: Called for every block.

        Raises:
            FileMissing: the file cannot be read.
        """
        asked = by_hash.wanted(what)
        if isinstance(asked, str):
            return by_hash.find(self._session, (asked,))
        return by_hash.find(self._session, by_hash.hashes_of(asked, on_progress))

    def find_all(
        self, wanted: Sequence[StrPath], *, on_progress: OnProgress = silent
    ) -> Generator[Found, None, None]:
        """Yield the matches of several files, in order, as responses arrive.

        Files are hashed on all processors, and one request asks for many hashes.

        Args:
            wanted: Files and hashes, as `find` takes them. An item that cannot be read is yielded
                with its ``error`` and does not stop the others.
            on_progress: Called for every block, from several threads.
        """
        asked = [by_hash.wanted(one) for one in wanted]
        return by_hash.find_all(self._session, asked, on_progress)

    def relatives(self, sketch: Mapping[str, object]) -> tuple[Relative, ...]:
        """Return the versions whose weights are copies of a file's, or resemble them.

        The file is not sent. The closest come first; at most 50.

        Args:
            sketch: Its sketch: ``lorary.algebra.recognition.documents.sketch_document(path)``.

        Raises:
            Invalid: the hub compares sketches of another release.
        """
        return find_relatives(self._session, sketch)

    def pull(  # noqa: PLR0913 - options, by keyword
        self,
        reference: str | Reference,
        *,
        to: StrPath | None = None,
        verify: bool = False,
        force: bool = False,
        all_files: bool = False,
        naming: str = "",
        max_rank: int = 0,
        strip: bool = False,
        on_progress: OnProgress = silent,
    ) -> Pulled:
        """Download a version: resumable, verified and cached.

        Args:
            reference: ``owner/name[@version]``, or a hash of one of its files, of any kind. For the
                hash of a file that the hub made, only that file is downloaded, unless you ask for
                another form.
            to: Folder for the weights. A file with a generic name, such as
                ``pytorch_lora_weights.safetensors``, is written as ``owner--name.safetensors``;
                another version gets ``--v2``. By default, all files go into the cache's own
                folder, under their own names.
            verify: Hash existing files again instead of trusting size and time.
            force: Replace files in ``to`` that Lorary did not write, and files of another version
                with the same name.
            all_files: Write companions (README.md, samples) to ``to`` as well, in
                ``owner--name--v3/``.
            naming: Tool whose names the modules get: ``kohya``, ``peft``, ``diffusers`` or
                ``comfyui``. The hub makes this file, and `file` of each of the `files` of the
                result is a `DerivedFile` with its certificate. Only weights are downloaded, under a
                name of their own.
            max_rank: Largest rank of a module (4, 8, 16, 32, 64 or 128), likewise.
            strip: Leave out the metadata about the training, likewise.
            on_progress: Called for every block.

        Raises:
            NotFound: the version does not exist, or you are not allowed to see it; or the hub now
                makes other bytes than those with the hash.
            StateConflict: the file cannot be made in this form exactly.
            Corrupt: the received bytes differ from the version's digest; nothing was kept.
            TargetTaken: another file is in the way; nothing was downloaded.
            TargetUnusable: files cannot be written to ``to``; nothing was downloaded.
        """
        form = Form(naming, max_rank, strip)
        place = pulling.Destination(
            absolute(to), may_replace=force, has_companions=all_files, form=form
        )
        exact, made = by_hash.meant_by(self._session, reference)
        return pulling.pull(
            self._session,
            self._cache,
            exact,
            to=place.for_made(made),
            rehash=verify,
            on_progress=on_progress,
        )

    def pull_pack(  # noqa: PLR0913 - options, by keyword
        self,
        reference: str | Reference,
        *,
        to: StrPath | None = None,
        variant: str = "",
        partial: bool = False,
        verify: bool = False,
        force: bool = False,
        on_progress: OnProgress = silent,
    ) -> PulledPack:
        """Download the files of a pack, as `pull` does, and describe them in a file.

        Args:
            reference: ``owner/name[@version]``.
            to: Folder for the weights and ``owner--name.pack.json``; the cache if it is None.
            variant: Name of one variant; by default all.
            partial: Download the other parts if some are gone.
            verify: Hash existing files again instead of trusting their size and time.
            force: Replace files in ``to`` that Lorary did not write.
            on_progress: Called after every block.

        Raises:
            NotFound: there is no such pack, version or variant, or parts of it are gone.
            TargetTaken, TargetUnusable: files cannot be written to ``to``.
        """
        return pack_pulling.pull(
            self._session,
            self._cache,
            parse(reference),
            pack_pulling.Wanted(
                absolute(to),
                variant=variant,
                is_partial=partial,
                may_replace=force,
                rehash=verify,
            ),
            on_progress,
        )

    def pull_all(  # noqa: PLR0913 - options, by keyword
        self,
        references: Sequence[str],
        *,
        to: StrPath | None = None,
        variant: str = "",
        partial: bool = False,
        verify: bool = False,
        force: bool = False,
        all_files: bool = False,
        naming: str = "",
        max_rank: int = 0,
        strip: bool = False,
        jobs: int = JOBS,
        on_progress: OnProgress = silent,
    ) -> Iterator[Outcome]:
        """Download several versions and packs, and yield the outcome of each, in order.

        One that fails does not stop the others: its outcome has the ``error``. Of two files with
        the same name, that of the first reference gets it, whichever is faster.

        Args:
            references: As `pull` takes them; for a pack, ``pack:owner/name[@version]``.
            to: Folder for the weights, as in `pull`.
            variant: Name of one variant of the packs; by default all of them.
            partial: Of packs, download what there is if some parts are gone.
            verify: Hash existing files again instead of trusting size and time.
            force: Replace files in ``to``, as in `pull`.
            all_files: Of adapters, write companions to ``to`` as well.
            naming: Of adapters, the naming of the weights, as in `pull`.
            max_rank: Of adapters, the largest rank of a module, as in `pull`.
            strip: Of adapters, leave out the metadata about the training, as in `pull`.
            jobs: Number of downloads at the same time.
            on_progress: Called for every block, from several threads.
        """
        session, cache = self._session, self._cache
        target = absolute(to)
        wanted = pack_pulling.Wanted(target, variant, partial, force, verify)
        form = Form(naming, max_rank, strip)
        place = pulling.Destination(target, may_replace=force, has_companions=all_files, form=form)

        known: dict[Reference, Version] = {}

        def expect(references: Sequence[str]) -> None:
            named = filter(None, map(by_hash.named, references))
            known.update(pulling.read_versions(session, list(named)))

        def find(reference: str) -> FoundVersion | FoundPack:
            if reference.startswith(PREFIX):
                return pack_pulling.find(session, cache, parse(reference), wanted)
            exact, made = by_hash.meant_by(session, reference)
            here, at_hand = place.for_made(made), known.get(exact)
            return pulling.find(session, cache, exact, here, on_progress, known=at_hand)

        def bring(
            found: FoundVersion | FoundPack, names: Names, report: OnProgress
        ) -> Pulled | PulledPack:
            if isinstance(found, pack_pulling.FoundPack):
                here = replace(wanted, names=names)
                return pack_pulling.bring(session, cache, found, here, report)
            here_too = replace(place, names=names)
            return pulling.bring(
                session, cache, found, to=here_too, rehash=verify, on_progress=report
            )

        folder = None if target is None else Folder(target, may_replace=force, rehash=verify)
        stages = several.Stages(expect, find, bring, folder)
        return several.pull_all(
            references, stages, on_progress=on_progress, jobs=jobs, abort=session.abort
        )

    def push(  # noqa: PLR0913 - options, by keyword
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
        """Publish files as a version; the adapter is created if it is new.

        Pushing the same files again returns the existing version; a draft is then published.

        Args:
            files: One file, or several that belong together; folders are for `lorary push` and
                `lorary import`.
            to: ``owner/name``.
            details: Details of the adapter and the version.
            draft: Do not publish it; only users who may publish it can see it.
            wait: Wait for the previews: until they are ready or have failed, until no worker of the
                hub has taken them for half a minute, or for 15 minutes. How the wait ended is in
                ``version.previews.state`` of the result. A draft has none.
            on_progress: Called for every block.
            on_checked: Called before anything is sent, with the findings for the local files and
                the adapter, None for a new one; an exception that it raises cancels the push.

        Raises:
            UploadRefused: a check found an error, here or on the hub.
            AdapterDiffers: the adapter exists with another title, kind, rating or licence than the
                given one, and has none of the weights: the name is probably that of another one.
            Unauthenticated, Forbidden: the token may not publish there.
        """
        target = require_no_version(Reference.parse(to))
        places = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(f) for f in files]
        details = details or Details()
        check = publishing.refuse_other(self._session, details, places, on_checked)
        pushed = publishing.push(
            self._session, target, places, details,
            on_progress=on_progress, on_checked=check, is_draft=draft,
        )  # fmt: skip
        if not wait or pushed.version.state == "draft":
            return pushed
        exact = Reference(target.owner, target.name, pushed.version.revision)
        version = publishing.await_previews(self._session, exact, pushed.version, on_progress)
        return replace(pushed, version=version)

    def add_sample(
        self, version: str | Reference, path: StrPath, *, caption: str = "", rating: str = ""
    ) -> None:
        """Add a picture or a short video to the gallery of a version.

        Args:
            version: ``owner/name@v1``.
            path: PNG, JPEG, WebP, MP4 or WebM.
            caption: Its caption.
            rating: Its own content rating; by default that of the adapter.

        Raises:
            FileMissing, FileUnreadable, TooLarge: it cannot be read, or is no such file.
            QuotaExceeded: the gallery is full, or too many were added today.
        """
        exact = Reference.parse(version)
        samples.add_sample(self._session, exact, Path(path), caption=caption, rating=rating)

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
        """Render a stack of versions, and return it with its picture.

        Only you can see it until you share it. Ctrl-C, and an exception of ``on_progress``, also
        cancel the render on the hub.

        Args:
            layers: Up to five of ``owner/name[@version][:strength]``, all for one base model.
            prompt: What the picture shows.
            negative: What the picture must not show.
            seed: Chosen by the hub by default.
            width: In pixels, a multiple of 8; by default that of the base model.
            height: As ``width``.
            steps: By default those of the base model.
            triggers: Insert the trigger words of the stack into the prompt.
            compare: Also render it without the stack, as the first picture.
            on_progress: Called for every step.

        Raises:
            Invalid: a value is invalid, such as layers for two base models.
            NotFound: a version does not exist, or you are not allowed to see it.
            RateLimited: too many are queued, or were requested today.
            LoraryError: ``render_failed``: rendering failed, with the reason.
        """
        settings = {
            "prompt": prompt, "negative": negative, "seed": seed, "width": width,
            "height": height, "steps": steps, "triggers": triggers, "compare": compare,
        }  # fmt: skip
        tryout = tryouts.ask(self._session, layers, settings)
        try:
            return tryouts.wait(self._session, tryout, on_progress)
        except LoraryError:
            raise
        except BaseException:  # Ctrl-C, or an exception of on_progress
            tryouts.remove(self._session, tryout)
            raise

    def picture(self, image: Image | str) -> bytes:
        """Return the bytes of a rendered picture (PNG), or of one at a URL, such as a cover."""
        return tryouts.media(self._session, image if isinstance(image, str) else image.url)

    def uploads(self, limit: int | None = None) -> Iterator[Upload]:
        """Yield your uploads, newest first, requesting further pages as needed.

        Args:
            limit: Maximum number; None for all.
        """
        require_limit(limit)
        page = _PAGE if limit is None else min(max(limit, 1), _PAGE)
        items = self._session.items("uploads", {"limit": page})
        return islice((Upload.read(item) for item in items), limit)

    def cancel_upload(self, upload: Upload | str) -> None:
        """Cancel an upload and delete its received bytes; cancelling it twice is not an error.

        Raises:
            NotFound: you have no such upload.
            StateConflict: a version uses its file.
        """
        number = upload.id if isinstance(upload, Upload) else upload
        self._session.json("DELETE", f"uploads/{quote(number, safe='')}")

    def tokens(self) -> tuple[Token, ...]:
        """Return your access tokens, without their secrets."""
        return tuple(Token.read(item) for item in self._session.items("tokens"))

    def create_token(
        self,
        name: str,
        scopes: str | Sequence[str] = ("read", "write"),
        *,
        days: int | None = None,
        bound_to: str = "",
    ) -> Token:
        """Create an access token; its ``secret`` is never shown again.

        It expires no later than this client's token, and is revoked with it.

        Args:
            name: What it is for.
            scopes: Its permissions, or its only one.
            days: Days until it expires; 0 for never, None for the hub's default.
            bound_to: ``owner`` or ``owner/name`` to which it is limited.
        """
        data: dict[str, object] = {"name": name, "scopes": as_list(scopes)}
        if days is not None:
            data["expires_in_days"] = days
        if bound_to:
            data["bound_to"] = bound_to
        return Token.read(self._session.json("POST", "tokens", data=data))

    def revoke_token(self, token: Token | int) -> None:
        """Revoke an access token, and the tokens that were created with it.

        Raises:
            NotFound: you have no such token.
        """
        number = token.id if isinstance(token, Token) else token
        self._session.json("DELETE", f"tokens/{number}")

    def revoke_tokens(self) -> int:
        """Revoke all your access tokens, including this client's; return how many were valid."""
        return Record(self._session.json("DELETE", "tokens"), "answer").whole("revoked")
