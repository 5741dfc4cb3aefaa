"""Names of samplers in other tools, for scheduler classes of diffusers."""

from __future__ import annotations

from typing import NamedTuple


class Sampler(NamedTuple):
    """A sampler and its noise schedule.

    Attributes:
        comfyui: ``sampler_name`` and ``scheduler`` of ComfyUI's KSampler; SwarmUI has the same.
        webui: “Sampler” and “Schedule type” of A1111 and Forge.
        invokeai: ``scheduler`` of InvokeAI.
    """

    comfyui: tuple[str, str]
    webui: tuple[str, str]
    invokeai: str


_EULER = Sampler(("euler", "normal"), ("Euler", "Automatic"), "euler")
_FLOW = Sampler(("euler", "simple"), ("Euler", "Simple"), "euler")
#: DDIM whose steps are spaced from the end of the schedule (``timestep_spacing="trailing"``).
_TRAILING = Sampler(("ddim", "simple"), ("DDIM", "Simple"), "ddim")

_BY_CLASS = {
    "DDIM": Sampler(("ddim", "ddim_uniform"), ("DDIM", "DDIM"), "ddim"),
    "DEISMultistep": Sampler(("deis", "normal"), ("DEIS", "Automatic"), "deis"),
    "DPMSolverMultistep": Sampler(("dpmpp_2m", "normal"), ("DPM++ 2M", "Automatic"), "dpmpp_2m"),
    "DPMSolverSDE": Sampler(("dpmpp_sde", "normal"), ("DPM++ SDE", "Automatic"), "dpmpp_sde"),
    "EulerAncestralDiscrete": Sampler(
        ("euler_ancestral", "normal"), ("Euler a", "Automatic"), "euler_a"
    ),
    "EulerDiscrete": _EULER,
    "FlowMatchEulerDiscrete": _FLOW,
    "HeunDiscrete": Sampler(("heun", "normal"), ("Heun", "Automatic"), "heun"),
    "LCM": Sampler(("lcm", "sgm_uniform"), ("LCM", "Automatic"), "lcm"),
    "LMSDiscrete": Sampler(("lms", "normal"), ("LMS", "Automatic"), "lms"),
    "PNDM": Sampler(("ipndm", "normal"), ("PLMS", "Automatic"), "pndm"),
    "UniPCMultistep": Sampler(("uni_pc", "normal"), ("UniPC", "Automatic"), "unipc"),
}
#: Families whose own scheduler is not that of Stable Diffusion.
_BY_FAMILY = {"miniature": _TRAILING, "wan_1_3b": Sampler(("uni_pc", "simple"), ("", ""), "unipc")}
_BY_FAMILY["wan_14b"] = _BY_FAMILY["wan_5b"] = _BY_FAMILY["wan_1_3b"]
#: Families with schedulers of Stable Diffusion; all others match flows.
_NOISE = frozenset(
    {"sd1", "sd2", "sdxl", "sdxl_refiner", "ssd_1b", "segmind_vega", "koala_700m", "koala_1b"}
)


def sampler_of(family: str, name: str) -> Sampler:
    """Return a sampler; for an unknown one and without a name, the usual one of the family."""
    usual = _EULER if family in _NOISE else _FLOW
    own = _BY_FAMILY.get(family, usual)
    return _BY_CLASS.get(name.removesuffix("Scheduler"), own)
