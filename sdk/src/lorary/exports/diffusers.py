"""diffusers: a script that renders a subject in the look of a variant.

The script needs diffusers and PEFT, but not lorary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorary.exports.look import Look

#: Families of pictures that a motion adapter moves, to diffusers' pipeline for it.
_MOTION = {
    "sd1": "AnimateDiffPipeline", "sdxl": "AnimateDiffSDXLPipeline",
    "miniature": "AnimateDiffPipeline",
}  # fmt: skip

#: Families that are published in float16; the others in bfloat16.
_HALF = frozenset({"sd1", "sd2", "sdxl", "miniature"})

_SCRIPT = '''\
"""{title}

Download the files, then render:

  {pull} --to loras
  python {name} --base BASE{motion_usage} --prompt "a lighthouse" --seed 7 --out {out}

BASE is a folder with a base model of the family {family}, as diffusers saves it.
"""

import argparse
import inspect
import sys
from pathlib import Path

import diffusers
import torch

PULL = {pull_literal}
#: Files in the order of the pack, with their strengths.
PARTS = {parts}
TEMPLATE = {template}
ARGUMENTS = {arguments}
#: A scheduler class of diffusers; empty for the base model's own.
SAMPLER = {sampler}
{constants}

def main():
    options = parse()
    pipe = open_base(options)
    names = []
    for number, (file, _strength) in enumerate(PARTS):
        path = options.loras / file
        if not path.is_file():
            sys.exit(f"{{path}} is missing. Download it: {{PULL}} --to {{options.loras}}")
        names.append(f"part_{{number}}")
        pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=names[-1])
    pipe.set_adapters(names, [strength for _file, strength in PARTS])
    takes = inspect.signature(type(pipe).__call__).parameters
    given = {{name: value for name, value in ARGUMENTS.items() if name in takes}}
    output = pipe(
        prompt=TEMPLATE.replace("{{prompt}}", options.prompt),
        # On the CPU, so that a seed gives the same noise on all devices.
        generator=torch.Generator("cpu").manual_seed(options.seed),
        **given,
    )
    {save}
    print(options.out)


def parse():
    parser = argparse.ArgumentParser(description={description})
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--prompt", required=True, help="the subject")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("{out}"))
    parser.add_argument("--loras", type=Path, default=Path("loras"), help="folder of the files")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
{motion_option}    return parser.parse_args()


def open_base(options):
    # Half precision is slow on a CPU, and some layers do not support it.
    dtype = torch.float32 if options.device == "cpu" else torch.{dtype}
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        options.base, torch_dtype=dtype, use_safetensors=True
    )
{motion_pipe}    if SAMPLER:
        kind = getattr(diffusers, SAMPLER)
        pipe.scheduler = kind.from_config(pipe.scheduler.config)
    return pipe.to(options.device)


if __name__ == "__main__":
    main()
'''
_MOTION_OPTION = """\
    parser.add_argument("--motion", required=True, help="folder of a motion adapter")
"""
_MOTION_PIPE = """\
    motion = diffusers.MotionAdapter.from_pretrained(options.motion, torch_dtype=dtype)
    pipe = diffusers.{pipeline}.from_pipe(pipe, motion_adapter=motion, torch_dtype=dtype)
"""
_SAVE_VIDEO = """\
frames = output.frames[0]
    # As GIF, WebP or PNG, by the suffix.
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0
    )"""


def script(look: Look) -> str:
    """Return the script."""
    motion = _MOTION.get(look.family, "") if look.is_video else ""
    name = f"{look.pack.replace('/', '--')}.{look.variant}.py"
    pull = look.pull_command
    return _SCRIPT.format(
        title=_comment(f"{look.title}: {', '.join(part.adapter for part in look.parts)}."),
        pull=_comment(pull),
        pull_literal=_literal(pull),
        name=_comment(name),
        family=_comment(look.family),
        out="out.webp" if look.is_video else "out.png",
        parts=_lines("[", [repr((part.file_name, part.strength)) for part in look.parts], "]"),
        template=_literal(look.template),
        arguments=_lines(
            "{", [f"{name!r}: {value!r}" for name, value in arguments_of(look).items()], "}"
        ),
        sampler=_literal(look.sampler),
        constants=f"FPS = {look.fps}\n" if look.is_video else "",
        save=_SAVE_VIDEO if look.is_video else "output.images[0].save(options.out)",
        description=_literal(f"Render a subject in the look of {look.pack}."),
        dtype="float16" if look.family in _HALF else "bfloat16",
        motion_usage=" --motion MOTION" if motion else "",
        motion_option=_MOTION_OPTION if motion else "",
        motion_pipe=_MOTION_PIPE.format(pipeline=motion) if motion else "",
    )


def arguments_of(look: Look) -> Mapping[str, object]:
    """Return the arguments of a pipeline except the prompt; those of the hub if it says them."""
    if look.arguments:
        return dict(look.arguments)
    found: dict[str, object] = {
        "num_inference_steps": look.steps,
        "guidance_scale": look.guidance,
        "width": look.width,
        "height": look.height,
    }
    if look.negative:
        found["negative_prompt"] = look.negative
    if look.is_video:
        found["num_frames"] = look.frames
    return found


def _literal(value: str) -> str:
    """Return the Python source of a text, in ASCII."""
    return repr(value).encode("ascii", "backslashreplace").decode()


def _lines(start: str, rows: list[str], end: str) -> str:
    """Return the Python source of a list or dictionary, in ASCII, with a row for each entry."""
    source = "".join([f"{start}\n", *(f"    {row},\n" for row in rows), end])
    return source.encode("ascii", "backslashreplace").decode()


def _comment(text: str) -> str:
    """Return a text that does not end a docstring."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
