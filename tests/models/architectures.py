"""Tiny random models of every architecture: as `transformers` runs them, and as we do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from chiliad.base import Base, BaseStore
from chiliad.base.architecture import base_config
from chiliad.models import ARCHITECTURES, SITES, Transformer, config_of
from tests.engine.tiny import LETTERS, write_tokenizer

VOCAB = len(LETTERS) + 1
_SIZES = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 4, "vocab_size": VOCAB, "max_position_embeddings": 256,
    "num_attention_heads": 6, "num_key_value_heads": 2, "initializer_range": 0.2, "rms_norm_eps": 1e-6,
}  # fmt: skip
_GEMMA = {
    "head_dim": 12, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}  # fmt: skip

CONFIGURATIONS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"tie_word_embeddings": True}),
    "llama, untied, wide heads": (LlamaConfig, {"tie_word_embeddings": False, "head_dim": 20}),
    "mistral": (MistralConfig, {"sliding_window": None, "head_dim": 16}),
    "mistral, window": (MistralConfig, {"sliding_window": 7}),
    "qwen2": (Qwen2Config, {"tie_word_embeddings": True}),
    "qwen2, window": (Qwen2Config, {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2}),
    "qwen3": (Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma3": (Gemma3TextConfig, {**_GEMMA, "sliding_window": 8, "query_pre_attn_scalar": 30}),
}
"""every setting that an architecture has and we support, in some configuration"""


def make(name: str, **more: Any) -> tuple[PreTrainedModel, Transformer]:
    """The same random weights twice, in float32; norms and biases are random too."""
    kind, options = CONFIGURATIONS[name]
    torch.manual_seed(0)
    reference = AutoModelForCausalLM.from_config(kind(**{**_SIZES, **options, **more})).eval()
    for parameter_name, parameter in reference.named_parameters():
        if parameter_name.endswith(("norm.weight", "bias")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    return reference, ours(reference)


def ours(reference: PreTrainedModel, dtype: torch.dtype = torch.float32) -> Transformer:
    """What our code makes of a model of `transformers`, by way of its settings as a base keeps them."""
    settings = base_config(reference.config.to_dict())
    architecture = ARCHITECTURES[settings["model_type"]]
    return architecture.model(config_of(settings), reference.state_dict(), dtype)


def base_folder(folder: Path, reference: PreTrainedModel) -> Base:
    """A model as `transformers` saves it, pulled as a base. A byte tokenizer with one merge stands in for its own."""
    reference.save_pretrained(folder)
    write_tokenizer(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["Ġt"] = len(LETTERS)
    content["model"]["merges"] = [["Ġ", "t"]]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return BaseStore(folder.parent / "cache").pull(str(folder))


def widths(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear layer of a base."""
    sizes = config_of(config)
    return {site: sizes.widths(site) for site in SITES}
