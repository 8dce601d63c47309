"""Decoder architectures in plain PyTorch, one file each."""

from chiliad.models.architectures import ARCHITECTURES, config_of, load_model
from chiliad.models.codes import in_codes, is_in_codes, matrix_bytes, takes_codes
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
    "in_codes",
    "is_in_codes",
    "load_model",
    "matrix_bytes",
    "takes_codes",
    "use_threads",
    "visible",
    "weight_names",
]
