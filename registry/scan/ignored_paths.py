"""Recognises pushed files that are not part of an adapter, by name.

Trainers save the state of a run beside the weights: optimiser moments, schedulers, random numbers,
logs. Most are pickles, which run code when they are loaded, so none is accepted. Clients that ask
before they send are asked to leave them out; other pickles are refused because of their name.

Source: transformers ``Trainer``, accelerate ``save_state``, DeepSpeed ``save_checkpoint``, torch
``SummaryWriter``, kohya sd-scripts ``--save_state``, ai-toolkit, SimpleTuner.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

from lorary.anatomy import Finding

#: Suffixes of Python's pickles.
PICKLES = frozenset(
    {"bin", "ckpt", "dill", "joblib", "pickle", "pkl", "pt", "pt2", "pth", "ptl"}
)  # fmt: skip

#: Suffixes of archives in which PyTorch saves a pickle.
ARCHIVES = frozenset({"zip"})

#: Names of files that hold the state of a training run.
_STATE = re.compile(
    r"""(?ix)
    train(?:ing|er)?_args \. bin
    | (?: optimizer | optimizer_state | optim | lr_scheduler | scheduler | scaler | grad_scaler
        | sampler | dl_state_dict | custom_checkpoint | training_state | train_state
        | rng_state | random_states? ) (?: _[0-9]{1,9} ){0,9} \. (?: bin | pt | pth | pkl | ckpt )
    | .{1,1024} _ (?: optim | model ) _states \. pt
    | zero_to_fp32 \. py
    | events\.out\.tfevents\. .+
    | loss_log \. db
    """
)

#: Folders in which every pickle is state: of accelerate, kohya and DeepSpeed.
_STATE_FOLDER = re.compile(r"(?i)(?:.{1,1024}-state|global_step[0-9]+|pytorch_model_fsdp_[0-9]+)")

#: Files of operating systems and Python, besides those that begin with a dot.
_HOUSEKEEPING = frozenset({"__pycache__", "desktop.ini", "thumbs.db"})


def is_trainer_state(path: str) -> bool:
    """Whether a path is known for the state of a training run."""
    *folders, name = path.split("/")
    if _STATE.fullmatch(name):
        return True
    return is_pickle(name) and any(_STATE_FOLDER.fullmatch(folder) for folder in folders)


def is_pickle(path: str) -> bool:
    """Return whether a path has the suffix of a pickle."""
    _stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return bool(dot) and suffix.casefold() in PICKLES


def named_pickle(path: str) -> Finding | None:
    """Return the finding for a path with the suffix of a pickle or a ZIP archive."""
    suffix = path.rpartition("/")[2].rpartition(".")[2].casefold()
    facts: dict[str, object] = {"name": path.rpartition("/")[2]}
    if is_pickle(path):
        text = _(
            "Pickles are never accepted, because loading one can run code. Convert “%(path)s” to "
            "safetensors first."
        )
        return Finding("is_pickle", "error", text % {"path": path}, facts)
    if suffix in ARCHIVES and "." in path.rpartition("/")[2]:
        text = _(
            "ZIP archives are never accepted: those of PyTorch contain a pickle, and loading "
            "one can run code. Convert “%(path)s” to safetensors first, or send the "
            "safetensors file in it."
        )
        return Finding("is_zip", "error", text % {"path": path}, facts)
    return None


def is_left_out(path: str) -> bool:
    """Return whether clients should not send a file: state of a trainer, hidden, or a system file.

    Manifests do not allow names of hidden files (``.gitattributes``, ``.job_config.json``).
    """
    return is_trainer_state(path) or any(
        part.startswith(".") or part.casefold() in _HOUSEKEEPING for part in path.split("/")
    )


def pickle_pushed(path: str) -> Finding:
    """Return the finding for a path that is a pickle by its name."""
    text = _(
        "“%(path)s” has the name of a Python pickle, which can run code when it is loaded, "
        "so it is refused. Save weights as .safetensors, and leave this file out of the "
        "commit."
    )
    if is_trainer_state(path):
        text = _(
            "“%(path)s” is the state of a training run, which this hub does not store. Leave "
            "it out of the commit: it is not needed to use the adapter."
        )
    return Finding("is_pickle", "error", text % {"path": path}, {"name": path.rpartition("/")[2]})
