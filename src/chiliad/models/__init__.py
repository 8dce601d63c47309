"""Decoder architectures in plain PyTorch, one file each."""

from chiliad.models.architectures import ARCHITECTURES, config_of, load_model
from chiliad.models.llama import Llama, LlamaConfig
from chiliad.models.threads import use_threads
from chiliad.models.transformer import (
    SITES,
    Attend,
    Group,
    Project,
    Transformer,
    TransformerConfig,
    head_name,
    visible,
    weight_names,
)

__all__ = [
    "ARCHITECTURES",
    "SITES",
    "Attend",
    "Group",
    "Llama",
    "LlamaConfig",
    "Project",
    "Transformer",
    "TransformerConfig",
    "config_of",
    "head_name",
    "load_model",
    "use_threads",
    "visible",
    "weight_names",
]
