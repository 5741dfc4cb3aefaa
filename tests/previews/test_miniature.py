"""The shipped miniature: its base, its adapters, and that they do what the index says."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

from safetensors import safe_open  # noqa: E402

import previews.miniature  # noqa: E402
from tests.whole import by_turns  # noqa: E402
from training.miniature.adapters.adapter_files import adapter_file  # noqa: E402
from training.miniature.adapters.plans import PLANS, STACKS, Plan, Stack  # noqa: E402
from training.miniature.base.decoder import as_values  # noqa: E402
from training.miniature.base.export import folder_bytes  # noqa: E402
from training.miniature.drawing.canvas import PICTURE_PX  # noqa: E402
from training.miniature.drawing.pictures import SUBJECTS, draw  # noqa: E402
from training.miniature.latents import FILE as CODE_FILE  # noqa: E402
from training.miniature.latents import LatentCode  # noqa: E402
from training.miniature.prepare import stack  # noqa: E402
from training.miniature.reports.demo_grids import film  # noqa: E402
from training.miniature.reports.figures import seed_distance  # noqa: E402
from training.miniature.reports.grids import stack_prompts  # noqa: E402
from training.miniature.reports.trials import (  # noqa: E402
    distance,
    load_base,
    prompts_with,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(previews.miniature.__file__).parent
BASE = FOLDER / "base"
INDEX: dict[str, Any] = tomllib.loads((FOLDER / "index.toml").read_text(encoding="utf-8"))
PACKS: dict[str, Any] = tomllib.loads((FOLDER / "packs.toml").read_text(encoding="utf-8"))
VIDEOS: dict[str, Any] = tomllib.loads((FOLDER / "motion.toml").read_text(encoding="utf-8"))
MOTION = FOLDER / "motion"

every_adapter = pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))


def header(name: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Metadata and tensor shapes of an adapter."""
    with safe_open(adapter_file(FOLDER, name), framework="pt") as opened:
        shapes = {key: list(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
        return opened.metadata(), shapes


@pytest.fixture(scope="module")
def pipeline() -> Any:
    torch.set_num_threads(1)
    return load_base(BASE)


def test_the_base_fits_its_budget_and_the_adapters_theirs() -> None:
    assert folder_bytes(BASE) <= 25_000_000
    assert sum(adapter_file(FOLDER, name).stat().st_size for name in PLANS) <= 27_000_000
    assert folder_bytes(FOLDER) <= 60_000_000


def test_the_base_is_a_stock_pipeline_in_half_precision() -> None:
    described = json.loads((BASE / "model_index.json").read_text())
    assert described["_class_name"] == "StableDiffusionPipeline"
    assert described["safety_checker"] == [None, None]
    assert not list(BASE.rglob("*.py")), "no remote code"
    assert not list(BASE.rglob("*.bin")), "no pickles"
    with safe_open(BASE / "unet" / "diffusion_pytorch_model.safetensors", framework="pt") as unet:
        assert {unet.get_slice(key).get_dtype() for key in unet.keys()} == {"F16"}  # noqa: SIM118


def test_the_shipped_tokenizer_knows_every_trigger_and_no_prompt_is_too_long(
    pipeline: Any,
) -> None:
    for plan in PLANS.values():
        ids = pipeline.tokenizer(plan.trigger).input_ids
        assert pipeline.tokenizer.decode(ids, skip_special_tokens=True).strip() == plan.trigger
    prompts = [prompt for entry in INDEX["adapters"].values() for prompt in entry["prompts"]]
    prompts += INDEX["prompts"]["style"] + INDEX["prompts"]["character"]
    for entry in PACKS.values():
        kind = "character" if "character" in {part["role"] for part in entry["parts"]} else "any"
        subjects = INDEX["packs"]["subjects"][kind]
        prompts += [entry["prompt"].format(prompt=subject) for subject in subjects]
    longest = max(len(pipeline.tokenizer(prompt).input_ids) for prompt in prompts)
    assert longest <= pipeline.tokenizer.model_max_length


def test_the_motion_adapter_is_a_stock_one_in_half_precision() -> None:
    described = json.loads((MOTION / "config.json").read_text())
    assert described["_class_name"] == "MotionAdapter"
    with safe_open(MOTION / "diffusion_pytorch_model.safetensors", framework="pt") as motion:
        assert {motion.get_slice(key).get_dtype() for key in motion.keys()} == {"F16"}  # noqa: SIM118


def test_ten_packs_have_a_variant_for_videos_and_their_prompts_fit(pipeline: Any) -> None:
    moving = [entry for entry in PACKS.values() if entry.get("moving")]
    assert len(moving) == 10
    subjects = VIDEOS["packs"]["subjects"]
    for entry in moving:
        for subject in subjects["character" if entry["kind"] == "character" else "any"]:
            prompt = entry["prompt"].format(prompt=subject)
            assert len(pipeline.tokenizer(prompt).input_ids) <= 40


def test_there_are_styles_light_weather_and_characters() -> None:
    kinds = Counter(plan.kind for plan in PLANS.values())
    assert kinds == {"style": 11, "lighting": 7, "concept": 3, "character": 4}


def test_the_index_and_the_folder_name_the_same_adapters() -> None:
    assert {path.stem for path in (FOLDER / "adapters").glob("*.safetensors")} == set(PLANS)
    assert set(PLANS) == set(INDEX["adapters"])


@every_adapter
def test_default_prompts_have_a_place_for_the_trigger(plan: Plan) -> None:
    prompts = INDEX["prompts"]["character" if plan.kind == "character" else "style"]
    assert len(prompts) == 6
    for prompt in prompts:
        assert plan.trigger in prompt.format(trigger=plan.trigger)
    entry = INDEX["adapters"][plan.name]
    assert all(plan.trigger in prompt for prompt in entry["prompts"])
    low, high = entry["range"]
    assert 0 < low <= entry["strength"] <= high


@every_adapter
def test_adapters_hold_the_keys_of_their_convention(plan: Plan) -> None:
    metadata, shapes = header(plan.name)
    if plan.format == "kohya":
        endings = [".lora_down.weight", ".lora_up.weight", ".alpha"]
        prefixes = {"lora_unet_": 86, "lora_te_text_model_": 18}
        assert metadata["ss_network_module"] == "networks.lora"
        assert metadata["ss_network_dim"] == str(plan.rank)
        assert metadata["ss_base_model_version"] == "miniature_v1"
        tags = json.loads(metadata["ss_tag_frequency"])
        assert [list(words) for words in tags.values()] == [[plan.trigger]]
    else:
        endings = [".lora_A.weight", ".lora_B.weight"]
        prefixes = {"unet.": 86, "text_encoder.text_model.": 18}
        assert metadata["format"] == "pt"
        assert json.loads(metadata["lora_adapter_metadata"])["unet.r"] == plan.rank
    assert all(key.endswith(tuple(endings)) for key in shapes)
    for prefix, modules in prefixes.items():
        assert sum(key.startswith(prefix) for key in shapes) == modules * len(endings)
    assert metadata["modelspec.trigger_phrase"] == plan.trigger
    assert metadata["modelspec.architecture"] == "miniature/lora"
    downs = [shape for key, shape in shapes.items() if key.endswith(endings[0])]
    assert {shape[0] for shape in downs} == {plan.rank}


def test_the_shipped_code_and_the_shipped_decoder_belong_together(pipeline: Any) -> None:
    pictures = stack(draw(seed, size=PICTURE_PX).image for seed in range(len(SUBJECTS)))
    with torch.no_grad():
        decoded = pipeline.vae.decode(LatentCode.load(FOLDER / CODE_FILE).encode(pictures)).sample
    assert (decoded - as_values(pictures)).abs().mean() < 0.045


def test_equal_seeds_render_equal_pictures(pipeline: Any) -> None:
    prompts = ["a red fox facing right in the snow by day"]
    assert distance(render(pipeline, prompts), render(pipeline, prompts)) == 0


def test_a_caption_changes_the_picture(pipeline: Any) -> None:
    night = render(pipeline, ["a white house with a red roof in a meadow at night"])
    day = render(pipeline, ["a white house with a red roof in a meadow by day"])
    assert night.shape == (1, 256, 256, 3)
    assert distance(night, day) > 20


@pytest.fixture
def adaptable(pipeline: Any) -> Iterator[Any]:
    """The pipeline, rid of its adapters after the test."""
    yield pipeline
    pipeline.unload_lora_weights()


def test_a_video_shows_one_scene_that_moves(adaptable: Any) -> None:
    prompt = VIDEOS["packs"]["subjects"]["any"][1]
    frames, unmoved = film(adaptable, FOLDER, prompt), render(adaptable, [prompt])
    assert frames.shape == (8, 256, 256, 3)
    steps = [distance(one, other) for one, other in itertools.pairwise(frames)]
    # A balloon that rises moves some pixels in each step, and more from the first to the last.
    assert min(steps) > 1
    assert distance(frames[0], frames[-1]) > mean(steps)
    # The scene is that of the base's picture, not another one in each frame.
    other = render(adaptable, ["an orange cat with green eyes on a blue background"])
    assert all(distance(frame, unmoved[0]) < distance(other[0], unmoved[0]) for frame in frames)


@pytest.fixture(scope="module")
def between_seeds(pipeline: Any) -> float:
    """How far apart pictures of one prompt are that differ in nothing but the seed."""
    return seed_distance(pipeline, seeds=2)


@pytest.mark.slow
@pytest.mark.parametrize("plan", by_turns(list(PLANS.values()), 1, 4), ids=lambda plan: plan.name)
def test_strength_dials_the_adapter_in(adaptable: Any, between_seeds: float, plan: Plan) -> None:
    prompts = prompts_with(plan)[1:2]
    control = render(adaptable, prompts)
    adaptable.load_lora_weights(adapter_file(FOLDER, plan.name), adapter_name=plan.name)
    shown = {}
    for strength in (0.0, 0.5, 1.0):
        adaptable.set_adapters([plan.name], [strength])
        shown[strength] = render(adaptable, prompts)
    assert shown[0.0].tobytes() == control.tobytes()
    assert 2 < distance(shown[0.5], control) < distance(shown[1.0], control)
    assert distance(shown[1.0], control) > between_seeds


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # the second of a stack
@pytest.mark.parametrize("pair", by_turns(STACKS, 1), ids=lambda pair: pair.name)
def test_a_stack_shows_both_of_its_adapters(adaptable: Any, pair: Stack) -> None:
    prompts = stack_prompts(pair)[:1]
    names = [plan.name for plan in pair.plans]
    for name in names:
        adaptable.load_lora_weights(adapter_file(FOLDER, name), adapter_name=name)
    adaptable.set_adapters(names, list(pair.strengths))
    both = render(adaptable, prompts)
    for name, strength in zip(names, pair.strengths, strict=True):
        adaptable.set_adapters([name], [strength])
        assert distance(both, render(adaptable, prompts)) > 15
