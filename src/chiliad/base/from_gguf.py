"""GGUF -> checkpoint: llama.cpp's names, metadata and row order turned back into those of `transformers`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from chiliad.base.architecture import llama_config, require_supported
from chiliad.base.checkpoint import Checkpoint
from chiliad.base.gguf_file import GgufFile
from chiliad.base.gguf_tokenizer import tokenizer_json
from chiliad.base.template import CHATML, PLAIN
from chiliad.base.weights import bf16_bits
from chiliad.errors import BrokenBase

SOURCE_GGUF = "source.gguf"
"""the file that a base was converted from, kept in its folder"""

Values = TypeVar("Values", bound=npt.NDArray[Any])

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_gguf(path: Path) -> Checkpoint:
    """Raises `BrokenBase` for a damaged file, another architecture, or an unknown tokenizer or quantisation."""
    gguf = GgufFile.open(path)
    require_supported(gguf.architecture)
    names = TensorNames.of(gguf)
    return Checkpoint(
        config=names.config,
        shapes={ours: gguf.shape(theirs) for ours, theirs in names.theirs.items()},
        read=lambda name: bf16_bits(names.in_our_order(name, gguf.tensor(names.theirs[name]))),
        tokenizer_json=tokenizer_json(gguf),
        chat_template=_chat_template(gguf),
        bos_token=gguf.token("bos_token_id"),
        eos_token=gguf.token("eos_token_id"),
        licence=str(gguf.metadata.get("general.license", "unknown")),
        stored_types=frozenset(tensor.tensor_type.name for tensor in gguf.tensors.values()),
    )


@dataclass(frozen=True)
class TensorNames:
    """What llama.cpp calls the tensors of `transformers`, and in which order it keeps their rows."""

    config: dict[str, Any]
    theirs: dict[str, str]
    """by our names"""

    @classmethod
    def of(cls, gguf: GgufFile) -> TensorNames:
        """Raises `BrokenBase` for a tensor or a setting that a supported architecture does not have."""
        return cls(_config(gguf), {_our_name(name): name for name in gguf.tensors})

    def in_our_order(self, name: str, values: Values) -> Values:
        """values: [rows, ...] of one tensor."""
        if name.endswith("q_proj.weight"):
            return _rope_halves(values, self.config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            return _rope_halves(values, self.config["num_key_value_heads"])
        return values


def _config(gguf: GgufFile) -> dict[str, Any]:
    scaling = gguf.setting("rope.scaling.type", "none")
    return llama_config(
        {
            "vocab_size": gguf.shape("token_embd.weight")[0] if "token_embd.weight" in gguf.tensors else None,
            "hidden_size": gguf.setting("embedding_length"),
            "intermediate_size": gguf.setting("feed_forward_length"),
            "num_hidden_layers": gguf.setting("block_count"),
            "num_attention_heads": gguf.setting("attention.head_count"),
            "num_key_value_heads": gguf.setting("attention.head_count_kv"),
            "head_dim": gguf.setting("attention.key_length", gguf.setting("rope.dimension_count")),
            # stored as float32; the shortest decimal that gives the same float32 is what was meant
            "rms_norm_eps": float(str(np.float32(gguf.setting("attention.layer_norm_rms_epsilon", 1e-5)))),
            "rope_theta": gguf.setting("rope.freq_base", 10000.0),
            "rope_scaling": None if scaling == "none" else {"rope_type": scaling},
            "max_position_embeddings": gguf.setting("context_length"),
            "tie_word_embeddings": "output.weight" not in gguf.tensors,
            "bos_token_id": gguf.metadata.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": gguf.metadata.get("tokenizer.ggml.eos_token_id"),
            "pad_token_id": gguf.metadata.get("tokenizer.ggml.padding_token_id"),
        }
    )


def _our_name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    kind = rest.removesuffix(".weight")
    if name.startswith("blk.") and rest.endswith(".weight") and kind in _LAYER:
        return f"model.layers.{block}.{_LAYER[kind]}.weight"
    raise BrokenBase(
        f"The GGUF file holds a tensor {name}, which belongs to a llama variant that is not supported.",
        fix="Choose a plain llama model (no experts, biases or rotary scaling), such as SmolLM2.",
    )


def _rope_halves(weight: Values, heads: int) -> Values:
    """Undo llama.cpp's row order within each head.

    llama.cpp rotates neighbouring rows (0,1), (2,3) ...; `transformers` rotates row i with row i + head_dim/2.
    """
    rows, *rest = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, *rest)
    return cast(Values, np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape))


def _chat_template(gguf: GgufFile) -> str:
    template = gguf.metadata.get("tokenizer.chat_template")
    if template is not None:
        return str(template)
    return CHATML if "<|im_start|>" in gguf.require("tokenizer.ggml.tokens") else PLAIN
