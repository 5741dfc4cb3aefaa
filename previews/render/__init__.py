"""Pictures of adapters, without Django: a recipe and a stack go in, PNG bytes come out.

```
bases.py       which base models are here (one TOML file)
whereabouts.py where their files lie, and which libraries read them  (no torch)
verify.py      what is wrong with one, without loading it            (no torch)
measure.py     one opened for real and timed
families.py    what is known of their families (families/*.toml)
recipe.py      everything that makes a picture reproducible
device.py      what bases are used on, in words
defaults.py    the recipe a version gets when nobody asked for another
images.py      PNG with the recipe inside
chunks.py      PNGs of anybody, taken apart within limits        (no torch)
readback.py    ... and the recipe of one that was made here      (no torch)
reproduce.py   such a picture made again, and compared
controls.py    pictures at strength 0, shared by all adapters      (no torch)
advice.py      what a finished sweep says of strengths      (no torch)
video.py       frames -> contact sheet and animation
keys.py        names of tensors in adapter files          (no torch)
modules.py     names of the modules of a loaded base
native.py      ... in the original authors' code
files.py       a safetensors file as tensors
fused.py       one module in a file, several in diffusers
pieces.py      the tensors of one module in a file
updates.py     each method's formula: pieces -> what is added to a weight
rotations.py   ... of those that turn weights
normalise.py   any file -> updates of the base's modules
adapters.py    updates into a base's weights, dialled, and off again
thrift.py      less memory, where it is short
pipelines.py   open bases, keep a few
calls.py       a recipe as arguments of a family's pipeline
watch.py       what engine and caller tell each other
engine.py      the sweep
foreign.py     what libraries raise, as refusals
```

Importing this package imports no torch; ``previews.render.engine`` does.
"""

from __future__ import annotations

from previews.render.bases.bases_file import Base, Bases, load_bases
from previews.render.errors import (
    AdapterAbsent,
    BasesInvalid,
    BaseUnavailable,
    Cancelled,
    CannotRender,
    FamilyInvalid,
    OutOfMemory,
    PictureInvalid,
    RecipeInvalid,
    RenderError,
    TooSlow,
    Why,
)
from previews.render.recipe import RENDERER, Layer, Recipe, Shot

__all__ = [
    "RENDERER",
    "AdapterAbsent",
    "Base",
    "BaseUnavailable",
    "Bases",
    "BasesInvalid",
    "Cancelled",
    "CannotRender",
    "FamilyInvalid",
    "Layer",
    "OutOfMemory",
    "PictureInvalid",
    "Recipe",
    "RecipeInvalid",
    "RenderError",
    "Shot",
    "TooSlow",
    "Why",
    "load_bases",
]
