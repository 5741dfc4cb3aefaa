"""A variant of a pack as exports need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lorary.client.errors import Invalid, NotFound
from lorary.client.http.json_answers import Record
from lorary.client.models import Version
from lorary.client.names import Reference
from lorary.client.packs import PLACEHOLDER, PackPart, PackVariant, PackVersion
from lorary.client.transfers.folders import Source, names_in_empty

#: Settings for hubs that do not say what they render a variant with.
_USUAL: Mapping[str, float] = {
    "steps": 25, "guidance": 7.0, "width": 512, "height": 512, "frames": 16, "fps": 8,
}  # fmt: skip
_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class LookPart:
    """A file with its strength; ``file_name`` is its path in the folder that it is pulled into."""

    adapter: str
    version: str
    file_name: str
    sha256: str
    strength: float
    role: str
    trigger_words: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name of the file without folder and suffix."""
        return self.file_name.rpartition("/")[2].removesuffix(_SUFFIX)

    @property
    def model_name(self) -> str:
        """The path without suffix."""
        return self.file_name.removesuffix(_SUFFIX)


@dataclass(frozen=True, slots=True)
class Look:
    """A variant of a version of a pack, with the settings that it is rendered with.

    Attributes:
        template: The prompt; ``{prompt}`` stands for the subject.
        frames, fps: 0 for pictures.
        sampler: A scheduler class of diffusers; empty for the base model's own.
        arguments: Arguments of diffusers' pipeline except the prompt.
        missing: Parts that cannot be downloaded, which are left out.
    """

    pack: str
    version: str
    variant: str
    family: str
    output: str
    template: str
    negative: str
    parts: tuple[LookPart, ...]
    steps: int
    guidance: float
    width: int
    height: int
    frames: int = 0
    fps: int = 0
    sampler: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    missing: tuple[PackPart, ...] = ()

    @property
    def is_video(self) -> bool:
        """Whether it is a moving picture."""
        return self.output == "video"

    @property
    def title(self) -> str:
        """``owner/name v2 (sdxl)``."""
        return f"{self.pack} {self.version} ({self.variant})"

    @property
    def pull_command(self) -> str:
        """The command that fetches the files under these names."""
        pull = f"lorary pull pack:{self.pack}@{self.version} --variant {self.variant}"
        return f"{pull} --partial" if self.missing else pull

    @property
    def around(self) -> tuple[str, str]:
        """The template before and after the subject."""
        before, _placeholder, after = self.template.partition(PLACEHOLDER)
        return before, after

    def prompt_for(self, subject: str) -> str:
        """Return the prompt for a subject."""
        return self.template.replace(PLACEHOLDER, subject)


def chosen(version: PackVersion, name: str = "") -> PackVariant:
    """Return the variant of a name; without one, the only variant.

    Raises:
        NotFound: there is none of this name.
        Invalid: there are several, and no name.
    """
    listed = ", ".join(f"{one.name} ({one.family}, {one.output})" for one in version.variants)
    pack = f"{version.pack} {version.name}"
    found = [one for one in version.variants if name in ("", one.name)]
    if not found:
        msg = f"{pack} has no variant “{name[:100]}”. It has {listed}."
        raise NotFound(msg)
    if len(found) > 1:
        msg = f"{pack} has several variants. Choose one: {listed}."
        raise Invalid(msg)
    return found[0]


def look_of(version: PackVersion, variant: str = "") -> Look:
    """Return a variant of a version with what can be downloaded of it.

    Raises:
        NotFound: there is no such variant, or none of its parts can be downloaded.
        Invalid: there are several variants, and no name.
    """
    found = chosen(version, variant)
    at_hand = [part for part in found.parts if part.is_at_hand]
    if not at_hand:
        msg = f"All parts of {version.pack} {version.name} ({found.name}) are gone."
        raise NotFound(msg)
    rendered = Record(dict(found.rendered_with), "variant")
    own = Record(dict(found.settings), "variant")
    is_video = found.output == "video"

    def number(name: str) -> float:
        for record in (rendered, own):
            value = record.number(name)
            if value is not None:
                return value
        return _USUAL[name]

    return Look(
        pack=version.pack,
        version=version.name,
        variant=found.name,
        family=found.family,
        output=found.output,
        template=found.prompt,
        negative=rendered.text("negative") or found.negative,
        parts=_parts(at_hand),
        steps=int(number("steps")),
        guidance=number("guidance"),
        width=int(number("width")),
        height=int(number("height")),
        frames=int(number("frames") or _USUAL["frames"]) if is_video else 0,
        fps=int(number("fps") or _USUAL["fps"]) if is_video else 0,
        sampler=rendered.text("sampler"),
        arguments=rendered.mapping("arguments"),
        missing=tuple(part for part in found.parts if not part.is_at_hand),
    )


def _parts(parts: Sequence[PackPart]) -> tuple[LookPart, ...]:
    names = names_in_empty([(_source(part), part.as_file()) for part in parts])
    return tuple(
        LookPart(
            adapter=part.adapter,
            version=part.version,
            file_name=name,
            sha256=part.sha256,
            strength=part.strength,
            role=part.role,
            trigger_words=part.trigger_words,
        )
        for part, name in zip(parts, names, strict=True)
    )


def _source(part: PackPart) -> Source:
    # Published versions are called by their number; their revision is in no name.
    row = {"adapter": part.adapter, "version": part.version, "revision": "0" * 40}
    return Source("", Reference.parse(part.adapter), Version.read(row))
