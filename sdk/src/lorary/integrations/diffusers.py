"""Packs in pipelines of diffusers.

```python
look = load_pack(pipe, "pack:studio/dusk")
pipe(**look("a lighthouse")).images[0]
```
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lorary.client.hub import Hub
from lorary.exports.diffusers import arguments_of
from lorary.integrations.packs import pull_look

if TYPE_CHECKING:
    from lorary.client.names import Reference

__all__ = ["load_pack"]


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
    """
    with ExitStack() as stack:
        look, files = pull_look(hub or stack.enter_context(Hub()), reference, variant)
    here = pipe.get_list_adapters()
    loaded = {one for names in here.values() for one in names}
    names = [f"lorary_{part.sha256[:16]}" for part in look.parts]
    for adapter, path in zip(names, files, strict=True):
        if adapter not in loaded:
            pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=adapter)
    pipe.set_adapters(names, [part.strength for part in look.parts])
    given = _known(pipe, arguments_of(look))

    def arguments(subject: str) -> dict[str, Any]:
        return {"prompt": look.prompt_for(subject), **given}

    return arguments


def _known(pipe: object, arguments: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments that a pipeline takes."""
    takes = inspect.signature(type(pipe).__call__).parameters
    return {name: value for name, value in arguments.items() if name in takes}
