"""Tokenizers made in code and tiny text encoders with random weights."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from diffusers.pipelines import kolors
from diffusers.pipelines.kolors import text_encoder
from tokenizers import Tokenizer, models, pre_tokenizers, processors

#: Width of every text encoder here but CLIP's.
WIDTH = 32
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_WORDS = (*_SPECIAL, "a", "cat", "red", "house", "in", "the", "snow", "user", "assistant")
_CHAT = (
    "{% for message in messages %}{{ message['role'] }} "
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{{ message['content'][0]['text'] }}{% endif %} {% endfor %}"
)
_DECODER = {
    "vocab_size": 64, "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 1024,
}  # fmt: skip


def tokenizer(length: int = 16) -> Any:
    """A word is a token, any other word the same one; ends with ``</s>``, as T5 and CLIP want."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(_WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    made: Any = transformers.PreTrainedTokenizerFast
    return made(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", model_max_length=length, chat_template=_CHAT,
    )  # fmt: skip


def _made(kind: str, config: str, **said: Any) -> Any:
    return getattr(transformers, kind)(getattr(transformers, config)(**said)).eval()


def clip(projection: int = 0, width: int = 16) -> Any:
    return _made(
        "CLIPTextModelWithProjection" if projection else "CLIPTextModel", "CLIPTextConfig",
        vocab_size=64, hidden_size=width, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=projection or 16,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip


def t5(kind: str = "T5") -> Any:
    return _made(
        f"{kind}EncoderModel", f"{kind}Config", vocab_size=64, d_model=WIDTH, d_kv=8, d_ff=32,
        num_layers=1, num_heads=2,
    )  # fmt: skip


def bert() -> Any:
    return _made(
        "BertModel", "BertConfig", vocab_size=64, hidden_size=WIDTH, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=128,
    )  # fmt: skip


def chatglm() -> Any:
    """Kolors' encoder, which diffusers brings along."""
    made: Any = text_encoder
    config = made.ChatGLMConfig(
        num_layers=2, padded_vocab_size=64, hidden_size=WIDTH, ffn_hidden_size=32, kv_channels=16,
        num_attention_heads=2, seq_length=64, add_qkv_bias=True, multi_query_attention=True,
        original_rope=True,
    )  # fmt: skip
    model = made.ChatGLMModel(config).eval()
    for weight in model.parameters():  # it leaves them as the memory was
        torch.nn.init.normal_(weight, std=0.2)
    return model


def chatglm_tokenizer() -> Any:
    """Kolors' tokenizer, which wants a file of SentencePiece; the same one every time."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat", "a red house in the snow", "the red cat in the house"]),
        model_writer=model, vocab_size=40, hard_vocab_limit=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    name = f"lorary-{hashlib.sha256(model.getvalue()).hexdigest()[:12]}.model"
    file = Path(tempfile.gettempdir()) / name
    file.write_bytes(model.getvalue())
    made: Any = kolors
    return made.ChatGLMTokenizer(str(file), model_max_length=16)


def gemma() -> Any:
    return _made("Gemma2Model", "Gemma2Config", **_DECODER, query_pre_attn_scalar=16)


def llama(kind: str = "LlamaModel") -> Any:
    return _made(kind, "LlamaConfig", **_DECODER)


def qwen(kind: str = "Qwen3Model") -> Any:
    return _made(kind, "Qwen3Config", **_DECODER)


def mistral() -> Any:
    """FLUX.2 dev's encoder; the half that sees is there and never used."""
    vision = {
        "model_type": "pixtral", "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    return _made(
        "Mistral3ForConditionalGeneration", "Mistral3Config",
        text_config={"model_type": "mistral", **_DECODER}, vision_config=vision,
    )  # fmt: skip


def qwen_vision() -> Any:
    """Qwen-Image's encoder; the half that sees is there and never used."""
    text: dict[str, Any] = {key: value for key, value in _DECODER.items() if key != "head_dim"}
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [2, 3, 3]}
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
        "out_hidden_size": WIDTH, "fullatt_block_indexes": [0],
    }  # fmt: skip
    return _made(
        "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig", text_config=text,
        vision_config=vision,
    )  # fmt: skip
