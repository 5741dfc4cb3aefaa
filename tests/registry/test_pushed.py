from __future__ import annotations

import pytest

from registry.scan import checks, ignored_paths


@pytest.mark.parametrize(
    "path",
    [
        "training_args.bin",
        "checkpoint-500/optimizer.pt",
        "checkpoint-500/optimizer.bin",
        "checkpoint-500/scheduler.bin",
        "checkpoint-500/rng_state.pth",
        "checkpoint-500/rng_state_0.pth",
        "checkpoint-500/random_states_0.pkl",
        "checkpoint-500/Scaler.pt",
        "noir-000004-state/model.bin",
        "global_step12/mp_rank_00_model_states.pt",
        "global_step12/zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "zero_to_fp32.py",
        "logs/events.out.tfevents.1700000000.host.1.0",
        "loss_log.db",
    ],
)
def test_the_state_of_a_training_run_is_known_by_name(path: str) -> None:
    assert ignored_paths.is_trainer_state(path)
    assert ignored_paths.is_left_out(path)


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "adapter_config.json",
        "optimizer.safetensors",
        "scheduler/scheduler_config.json",
        "training_args.json",
        "my_optimizer.pt",
        "adapter_model.bin",
        "noir-state/model.safetensors",
        "solid-state.pt",
    ],
)
def test_what_may_be_the_adapter_is_no_state(path: str) -> None:
    assert not ignored_paths.is_trainer_state(path)
    assert not ignored_paths.is_left_out(path)


@pytest.mark.parametrize("path", [".gitattributes", "a/.DS_Store", ".job_config.json", "Thumbs.db"])
def test_hidden_files_are_left_out(path: str) -> None:
    assert ignored_paths.is_left_out(path)
    assert not ignored_paths.is_trainer_state(path)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("a.bin", True),
        ("x/A.PT", True),
        ("noir.ckpt", True),
        ("data.pkl", True),
        ("bin", False),
        ("x.bin/readme.md", False),
        ("noir.safetensors", False),
    ],
)
def test_a_pickle_is_told_by_its_suffix(path: str, *, is_one: bool) -> None:
    assert ignored_paths.is_pickle(path) is is_one


def test_no_companion_is_a_pickle_by_name() -> None:
    kept = {suffix.lstrip(".") for suffix in (*checks.COMPANIONS, checks.WEIGHTS)}
    assert kept.isdisjoint(ignored_paths.PICKLES)


def test_what_is_said_tells_state_from_other_pickles() -> None:
    state = ignored_paths.pickle_pushed("optimizer.pt")
    other = ignored_paths.pickle_pushed("adapter_model.bin")
    assert {state.severity, other.severity} == {"error"}
    assert "training run" in state.message
    assert ".safetensors" in other.message
