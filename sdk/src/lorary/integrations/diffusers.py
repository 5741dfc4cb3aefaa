"""Adapters and packs in pipelines of diffusers.

```python
noir = load(pipe, "studio/noir@v3", strength=0.8)
pipe(f"a lighthouse, {noir.trigger_words[0]}").images[0]

look = load_pack(pipe, "pack:studio/dusk")
pipe(**look("a lighthouse")).images[0]
```
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorary.client.errors import FileUnreadable, NotFound
from lorary.client.hub import Hub
from lorary.client.progress import silent
from lorary.exports.diffusers import arguments_of
from lorary.integrations.packs import pull_look

if TYPE_CHECKING:
    from lorary.client.models import Version
    from lorary.client.names import Reference
    from lorary.client.progress import OnProgress

__all__ = ["Loaded", "load", "load_pack"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An adapter in a pipeline.

    Attributes:
        name: Its name there, for ``pipe.set_adapters`` and ``pipe.delete_adapters``.
        version: The version.
        path: Its file in the cache.
        strength: Its strength.
    """

    name: str
    version: Version
    path: Path
    strength: float

    @property
    def trigger_words(self) -> tuple[str, ...]:
        """The words that activate it in a prompt."""
        return self.version.trigger_words


def load(
    pipe: Any,  # noqa: ANN401 - a pipeline of diffusers, which need not be installed
    reference: str | Reference,
    *,
    strength: float | None = None,
    hub: Hub | None = None,
    on_progress: OnProgress = silent,
) -> Loaded:
    """Download an adapter and add it to the active adapters of a pipeline.

    Adapters that are active stay active, with their strengths. An adapter that was loaded before
    is not loaded again; it gets the new strength.

    Args:
        pipe: A pipeline for the adapter's base model, with PEFT installed.
        reference: ``owner/name[@version]``, or a hash of one of its files.
        strength: Its strength; by default the one that its author recommends, else 1.
        hub: The hub; the one of the environment when left out.
        on_progress: Called for every block of the download.

    Raises:
        NotFound: there is no such version, or it has no weights.
        FileUnreadable: diffusers found no tensors in the file that it can load, or the pipeline has
            another base model.
    """
    with ExitStack() as stack:
        hub = hub or stack.enter_context(Hub())
        pulled = hub.pull(reference, on_progress=on_progress)
    primary = next((one for one in pulled.files if one.file.is_primary), None)
    if primary is None:
        msg = f"{pulled.adapter} {pulled.version.name} has no weights."
        raise NotFound(msg)
    if strength is None:
        recommended = pulled.version.recommended_strength
        strength = 1.0 if recommended is None else recommended
    with _restored_on_error(pipe) as active:
        name = _add(pipe, primary.local_path, primary.file.sha256, pulled.version.family)
        pipe.set_adapters([name], [strength])
        _activate(pipe, [*(one for one in active if one != name), name])
    return Loaded(name, pulled.version, primary.local_path, strength)


def _add(pipe: Any, path: Path, sha256: str, family: str = "") -> str:  # noqa: ANN401 - as above
    """Load a file, unless it is loaded, and return the name of its adapter."""
    name = f"lorary_{sha256[:16]}"
    if not _has(pipe, name):
        try:
            pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)
        except RuntimeError as error:
            if "size mismatch" not in str(error):
                raise
            base = f"the base model {family}" if family else "another base model"
            msg = (
                f"{path.name} is for {base}, and the layers of this {type(pipe).__name__} have "
                "other sizes: open a pipeline of that base model."
            )
            raise FileUnreadable(msg) from error
    if not _has(pipe, name):  # diffusers only logs this
        msg = (
            f"diffusers found nothing in {path.name} for {type(pipe).__name__}: it is for another "
            "base model, or its tensors have names that diffusers does not load, such as PEFT's."
        )
        raise FileUnreadable(msg)
    return name


def _has(pipe: Any, name: str) -> bool:  # noqa: ANN401 - as above
    return name in _loaded(pipe)


def _loaded(pipe: Any) -> set[str]:  # noqa: ANN401 - as above
    return {name for names in pipe.get_list_adapters().values() for name in names}


@contextmanager
def _restored_on_error(pipe: Any) -> Iterator[list[str]]:  # noqa: ANN401 - as above
    """Yield the active adapters. After an error they alone are active, and no other was added.

    diffusers activates each adapter that it loads, and keeps the components that it loaded before
    one failed.
    """
    active, loaded = list(pipe.get_active_adapters()), _loaded(pipe)
    try:
        yield active
    except BaseException:
        _activate(pipe, active)  # PEFT warns of the deletion of an active adapter
        if added := _loaded(pipe) - loaded:
            pipe.delete_adapters(sorted(added))
        raise


def _activate(pipe: Any, names: list[str]) -> None:  # noqa: ANN401 - as above
    """Make these adapters active; unlike ``pipe.set_adapters``, it changes no strength.

    The method of the same name of text encoders needs a newer PEFT than diffusers does, so that of
    the layers is called.
    """
    for component in pipe.get_list_adapters():
        for layer in getattr(pipe, component).modules():
            if hasattr(layer, "lora_A"):
                layer.set_adapter(names)


def load_pack(
    pipe: Any,  # noqa: ANN401 - a pipeline of diffusers, which need not be installed
    reference: str | Reference,
    *,
    variant: str = "",
    hub: Hub | None = None,
) -> Callable[[str], dict[str, Any]]:
    """Download a pack, load its files as adapters with their strengths, and return its prompts.

    Files come into the cache of `lorary`. Adapters of another pack that were loaded before stay
    loaded, but are not active any more.

    Args:
        pipe: A pipeline for the base model of the variant, with PEFT installed.
        reference: ``pack:owner/name[@version]``.
        variant: Name of the variant; may be left out if there is only one.
        hub: The hub; the one of the environment when left out.

    Returns:
        A function from a subject to the arguments of ``pipe``: prompt, negative prompt, steps,
        guidance and size. Pass a generator yourself for a seed.

    Raises:
        NotFound: there is no such pack, version or variant, or parts of it are gone.
        Invalid: there are several variants, and none was named.
        FileUnreadable: diffusers found no tensors in a file that it can load, or the pipeline has
            another base model.
    """
    with ExitStack() as stack:
        look, files = pull_look(hub or stack.enter_context(Hub()), reference, variant)
    pulled = zip(look.parts, files, strict=True)
    with _restored_on_error(pipe):
        names = [_add(pipe, path, part.sha256, look.family) for part, path in pulled]
        pipe.set_adapters(names, [part.strength for part in look.parts])
    given = _known(pipe, arguments_of(look))

    def arguments(subject: str) -> dict[str, Any]:
        return {"prompt": look.prompt_for(subject), **given}

    return arguments


def _known(pipe: object, arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments that a pipeline takes."""
    takes = inspect.signature(type(pipe).__call__).parameters
    return {name: value for name, value in arguments.items() if name in takes}
