"""Adapters of transformers models, pushed by PEFT and loaded by name, and what is said else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.programs import Programs
from tests.documents import snippets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.slow]


#: A base in a folder, as the guide has it, and what its neighbours share.
BASE = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 64}
LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained("llama")

def scores(model):
    with torch.no_grad():
        return model.eval()(torch.arange(12).reshape(1, 12)).logits
"""

CHECKS = """
from huggingface_hub import HfApi
from transformers.utils.hub import cached_file, has_file

api = HfApi()
bare = AutoModelForCausalLM.from_pretrained("./llama")
found = cached_file("ada/tales", "adapter_config.json", revision="v1")
tell({
    "same": torch.equal(scores(model), scores(fresh)),
    "whole": torch.equal(scores(model), scores(whole)),
    "differs": not torch.equal(scores(model), scores(bare)),
    "rank": PeftConfig.from_pretrained("ada/tales").r,
    "config": api.model_info("ada/tales", revision="v1").sha in found,
    "has": [has_file("ada/tales", name) for name in ("adapter_config.json", "config.json")],
    "files": sorted(api.list_repo_files("ada/tales")),
    "versions": [tag.name for tag in api.list_repo_refs("ada/tales").tags],
})
"""

ERRORS = """
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.hub import cached_file, has_file

model = LlamaForCausalLM.from_pretrained("./llama")
trained = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
trained.push_to_hub("ada/hidden", private=True)
config = "adapter_config.json"

def error(call, *args, **more):
    try:
        call(*args, **more)
    except OSError as error:
        return str(error)

tell({
    "adapter": error(LlamaForCausalLM.from_pretrained("./llama").load_adapter, "ada/none"),
    "repo": error(cached_file, "ada/none", config),
    "repo, asked": error(has_file, "ada/none", config),
    "private": error(cached_file, "ada/hidden", config, token=False, cache_dir="new"),
    "no owner": error(AutoConfig.from_pretrained, "gpt2"),
    "file": error(cached_file, "ada/hidden", "none.json"),
    "file, asked": has_file("ada/hidden", "none.json"),
    "file, optional": cached_file(
        "ada/hidden", "none.json", _raise_exceptions_for_missing_entries=False),
    "revision": error(cached_file, "ada/hidden", config, revision="v9"),
    "token": error(cached_file, "ada/hidden", config, token="hf_abc", cache_dir="new"),
    "whole model": error(LlamaForCausalLM.from_pretrained("./llama").push_to_hub, "ada/whole"),
})
"""


@pytest.fixture
def ada(hub: RunningHub, ada_token: str, tmp_path: Path) -> Programs:
    programs = Programs(hub, tmp_path / "ada", ada_token)
    programs.environ["OMP_NUM_THREADS"] = "1"
    return programs


def test_the_guide_says_what_works(ada: Programs) -> None:
    scripts = snippets("docs/clients.md", "python", "transformers")
    assert len(scripts) == 2
    told = ada.python("\n".join([BASE, *scripts, CHECKS]))
    assert told == {
        "same": True,
        "whole": True,
        "differs": True,
        "rank": 4,
        "config": True,
        "has": [True, False],
        "files": ["README.md", "adapter_config.json", "adapter_model.safetensors"],
        "versions": ["v1"],
    }


def test_what_is_not_there_is_said_in_the_words_of_transformers(ada: Programs) -> None:
    told: dict[str, Any] = ada.python(BASE + ERRORS)
    for case in ("adapter", "repo", "private", "no owner"):
        assert "is not a local folder and is not a valid model identifier" in told[case], case
        assert "make sure to pass a token" in told[case], case
    assert "is not a local folder or a valid repository name" in told["repo, asked"]
    assert "ada/hidden does not appear to have a file named none.json" in told["file"]
    assert (told["file, asked"], told["file, optional"]) == (False, None)
    assert "v9 is not a valid git identifier" in told["revision"]
    assert "Invalid credentials in Authorization header" in told["token"]
    assert "is a whole model (checkpoint), not a LoRA adapter" in told["whole model"]
