"""Adapters that PEFT and diffusers made, pushed as their users do, and loaded again by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.programs import Programs

if TYPE_CHECKING:
    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BASE = Path(__file__).parents[2] / "previews" / "miniature" / "base"


@pytest.fixture
def ada(hub: RunningHub, ada_token: str, tmp_path: Path) -> Programs:
    programs = Programs(hub, tmp_path / "ada", ada_token)
    programs.environ |= {"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    return programs


def test_peft_loads_what_it_pushed(ada: Programs) -> None:
    told = ada.python(
        """
        import torch
        from huggingface_hub import HfApi
        from peft import LoraConfig, PeftModel, get_peft_model

        def base():
            torch.manual_seed(0)
            return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Linear(16, 8))

        config = LoraConfig(r=4, target_modules=["0", "1"], init_lora_weights=False)
        model = get_peft_model(base(), config)
        said = torch.randn(3, 8)
        model.push_to_hub("ada/peft", private=True)
        loaded = PeftModel.from_pretrained(base(), "ada/peft")
        api = HfApi()
        again = model.push_to_hub("ada/peft")
        tell({"is_same": torch.equal(model(said), loaded(said)),
              "differs": not torch.equal(base()(said), loaded(said)),
              "again": again.oid == api.model_info("ada/peft").sha,
              "versions": [tag.name for tag in api.list_repo_refs("ada/peft").tags],
              "files": sorted(api.list_repo_files("ada/peft"))})
        """
    )
    assert (told["is_same"], told["differs"], told["again"]) == (True, True, True)
    assert told["files"] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert told["versions"] == ["v1"]


@pytest.mark.long
def test_diffusers_loads_what_its_scripts_push(ada: Programs) -> None:
    """The end of ``train_text_to_image_lora.py``: weights, a card, the folder."""
    told = ada.python(
        """
        import torch
        from diffusers import StableDiffusionPipeline
        from diffusers.utils import convert_state_dict_to_diffusers
        from diffusers.utils.hub_utils import load_or_create_model_card, populate_model_card
        from huggingface_hub import create_repo, upload_folder
        from peft import LoraConfig
        from peft.utils import get_peft_model_state_dict

        def lora_of(unet):
            (name,) = unet.peft_config
            return get_peft_model_state_dict(unet, adapter_name=name)

        def opened():
            return StableDiffusionPipeline.from_pretrained(BASE, local_files_only=True)

        pipe = opened()
        torch.manual_seed(7)
        pipe.unet.add_adapter(LoraConfig(
            r=4, lora_alpha=4, init_lora_weights=False, target_modules=["to_q", "to_v"]))
        trained = lora_of(pipe.unet)
        repo = create_repo("ada/diffused", exist_ok=True).repo_id
        StableDiffusionPipeline.save_lora_weights(
            "output", unet_lora_layers=convert_state_dict_to_diffusers(trained))
        card = load_or_create_model_card(
            repo_id_or_path=repo, from_training=True, license="mit", base_model="lorary/miniature",
            model_description="Rain.", inference=True)
        populate_model_card(card, tags=["lora", "diffusers"]).save("output/README.md")
        upload_folder(repo_id=repo, folder_path="output", commit_message="End of training",
                      ignore_patterns=["step_*", "epoch_*"])

        fresh = opened()
        fresh.load_lora_weights(repo)
        loaded = lora_of(fresh.unet)
        sample, step = torch.randn(1, fresh.unet.config.in_channels, 8, 8), torch.tensor([5])
        words = torch.randn(1, 7, fresh.unet.config.cross_attention_dim)
        with torch.no_grad():
            mine, theirs, bare = (
                one.unet(sample, step, words).sample for one in (pipe, fresh, opened()))
        tell({"is_same": all(torch.equal(trained[key], loaded[key]) for key in trained)
                         and trained.keys() == loaded.keys(),
              "draws_the_same": torch.equal(mine, theirs),
              "differs": not torch.equal(mine, bare)})
        """.replace("BASE", repr(str(BASE)))
    )
    assert told == {"is_same": True, "draws_the_same": True, "differs": True}
