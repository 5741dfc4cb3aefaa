"""The stock model classes that the miniature is built of.

Their published types miss most of what they can do (a module without `to`), so they are
declared open here, once, and the rest of the recipe is checked strictly.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import diffusers
import transformers
from diffusers.models import attention_processor

# A torch module of diffusers or transformers, their tokenizer, and a whole pipeline.
Part: TypeAlias = Any
Tokenizer: TypeAlias = Any
Pipeline: TypeAlias = Any

AnimateDiffPipeline: Any = diffusers.AnimateDiffPipeline
AttnProcessor: Any = attention_processor.AttnProcessor
AutoencoderKL: Any = diffusers.AutoencoderKL
CLIPTextConfig: Any = transformers.CLIPTextConfig
CLIPTextModel: Any = transformers.CLIPTextModel
CLIPTokenizer: Any = transformers.CLIPTokenizer
DDIMScheduler: Any = diffusers.DDIMScheduler
DiffusionPipeline: Any = diffusers.DiffusionPipeline
MotionAdapter: Any = diffusers.MotionAdapter
StableDiffusionPipeline: Any = diffusers.StableDiffusionPipeline
UNet2DConditionModel: Any = diffusers.UNet2DConditionModel
UNetMotionModel: Any = diffusers.UNetMotionModel
