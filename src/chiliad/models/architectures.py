"""Which class runs a base, by the `model_type` of its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chiliad.models.gemma3 import Gemma3, Gemma3Config
from chiliad.models.llama import Llama, LlamaConfig
from chiliad.models.mistral import Mistral, MistralConfig
from chiliad.models.qwen2 import Qwen2, Qwen2Config
from chiliad.models.qwen3 import Qwen3, Qwen3Config
from chiliad.models.transformer import KeepLayer, Transformer, TransformerConfig, as_read


@dataclass(frozen=True)
class Architecture:
    config: type[TransformerConfig]
    model: type[Transformer]


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(LlamaConfig, Llama),
    "mistral": Architecture(MistralConfig, Mistral),
    "qwen2": Architecture(Qwen2Config, Qwen2),
    "qwen3": Architecture(Qwen3Config, Qwen3),
    "gemma3_text": Architecture(Gemma3Config, Gemma3),
}


def config_of(settings: Mapping[str, Any]) -> TransformerConfig:
    """settings: the `config.json` of a converted base."""
    return ARCHITECTURES[settings["model_type"]].config.from_hf(settings)


def load_model(
    folder: Path,
    settings: Mapping[str, Any],
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
    keep: KeepLayer = as_read,
) -> Transformer:
    """The model in a base's folder. Raises BrokenBase when a tensor is missing or cut short."""
    return ARCHITECTURES[settings["model_type"]].model.load(folder, config_of(settings), dtype, device, keep)
