"""The kind of layer of a module, derived from its name."""

from __future__ import annotations

import re
from functools import lru_cache

LAYERS = ("attention", "mlp", "conv", "norm", "modulation", "embedder", "other")
"""All kinds of layers, in display order."""

_B, _E = r"(?:^|[._])", r"(?:[._]|$)"
_EDGE = (
    r"(?:^(?:lora_unet_{1,64}|lora_transformer_|lycoris_)?|\.)"
    r"(?:time_in|vector_in|guidance_in|img_in|byt5_in|vision_in|[txy]_embedder|time_embed(?:ding)?"
    r"|time_text_embed|time_guidance_embed|time_caption_embed|label_emb|add_embedding|img_emb"
    r"|patch_embed(?:ding)?|text_embedding|time_projection|condition_embedder|text_proj|input_proj"
    rf"|distilled_guidance_layer|txtmlp|tmlp|tproj){_E}"
)
_MODULATION = (
    rf"{_B}mod(?:ulation)?{_E}|ada_?ln|scale_shift_table|norm_out"
    rf"|{_B}norm\d?(?:_context)?[._]linear"
)
_NORM = r"norm(?:\d|_?[a-z0-9]{1,8}(?:_[a-z0-9]{1,8})?)?$"
_MLP = (
    rf"mlp{_E}|{_B}(?:ffn?|ff_[a-z]{{1,4}}|feed_?forward|fc\d?|experts|wi|intermediate"
    rf"|DenseReluDense|(?:gate|up|down)_proj|linear_fc\d|w[123]|c_fc){_E}"
)
_ATTENTION = (
    rf"attn|attention|{_B}(?:to_[a-z]{{1,8}}|[qkvo]|[qkvo]_?proj|out_proj|qkv|w[qkvo]"
    rf"|add_[qkv]_proj|[qkv]_lin|linear[12]){_E}"
    rf"|(?:attentions|blocks?|modules)(?:[._]\d{{1,4}}){{1,3}}[._]proj_(?:in|out){_E}"
)
_EMBEDDER = (
    rf"embed|{_B}(?:wte|wpe|emb_layers|time_emb_proj|txt_in|cond_type|in_layer|out_layer){_E}"
)
_CONV = rf"conv|resnets|{_B}(?:(?:in|out)_layers|skip_connection|(?:down|up)samplers?|op){_E}"
# The first match counts. Fused projections (FLUX `linear1`: attention and MLP in one) count
# as attention.
_RULES = (
    ("embedder", re.compile(_EDGE)),
    ("modulation", re.compile(_MODULATION, re.IGNORECASE)),
    ("norm", re.compile(_NORM)),
    ("mlp", re.compile(_MLP)),
    ("attention", re.compile(_ATTENTION, re.IGNORECASE)),
    ("embedder", re.compile(_EMBEDDER)),
    ("conv", re.compile(_CONV)),
)


_LONGEST = 200  # characters; the names of known models have less than half


@lru_cache(maxsize=8_192)
def layer_of(name: str) -> str:
    """Return the kind of layer of a module without a kernel, one of `LAYERS`.

    Args:
        name: The module's name in the file, dotted or flattened, with or without its prefix.
    """
    if len(name) > _LONGEST:
        return "other"
    return next((layer for layer, pattern in _RULES if pattern.search(name)), "other")
