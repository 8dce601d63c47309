"""One hash for everything about a base model that an adapter depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chiliad.base.weights import read_weights

# Settings that change what the same tensors compute.
_COMPUTING = (
    "model_type",
    "hidden_act",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "rope_theta",
    "tie_word_embeddings",
)
OWN_TO_SOME = ("rope_local_base_freq", "query_pre_attn_scalar", "sliding_window", "layer_types")
"""such settings of single architectures"""


def fingerprint(folder: Path, config: Mapping[str, Any]) -> str:
    """SHA-256 (64 hexadecimal digits) over a base folder: tensors as computed with, tokenizer and chat template.

    Tensors enter by name, type, shape and bytes, so the order in the file and its metadata do not matter.
    """
    digest = hashlib.sha256(b"chiliad base 1\n")
    computing = {key: config.get(key) for key in _COMPUTING}
    computing |= {key: config[key] for key in OWN_TO_SOME if key in config}
    digest.update(json.dumps(computing, sort_keys=True).encode())
    for name, view in sorted(read_weights(folder / "model.safetensors").items()):
        digest.update(json.dumps([name, view.dtype, view.shape]).encode())
        digest.update(view.raw().data)
    for name in ("tokenizer.json", "chat_template.jinja"):
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
