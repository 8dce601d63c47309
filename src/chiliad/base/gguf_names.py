"""What llama.cpp calls the settings and tensors of each architecture, and in what form it keeps their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from chiliad.base.architecture import base_config, require_supported
from chiliad.base.gguf_file import GgufFile
from chiliad.errors import BrokenBase

Values = TypeVar("Values", bound=npt.NDArray[Any])

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}
"""llama.cpp's name by the `model_type` of `transformers`; it takes a Mistral without window for a Llama"""

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_MATRICES = {
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
_TWO_NORMS = {"attn_norm.weight": "input_layernorm.weight", "ffn_norm.weight": "post_attention_layernorm.weight"}
_HEAD_NORMS = {"attn_q_norm.weight": "self_attn.q_norm.weight", "attn_k_norm.weight": "self_attn.k_norm.weight"}
_BIASES = {f"attn_{site}.bias": f"self_attn.{site}_proj.bias" for site in "qkv"}
_LAYER = {
    "llama": {**_MATRICES, **_TWO_NORMS},
    "qwen2": {**_MATRICES, **_TWO_NORMS, **_BIASES},
    "qwen3": {**_MATRICES, **_TWO_NORMS, **_HEAD_NORMS},
    "gemma3": {
        **_MATRICES,
        **_HEAD_NORMS,
        "attn_norm.weight": "input_layernorm.weight",
        "post_attention_norm.weight": "post_attention_layernorm.weight",
        "ffn_norm.weight": "pre_feedforward_layernorm.weight",
        "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
    },
}


@dataclass(frozen=True)
class GgufNames:
    """config: of the base; theirs: llama.cpp's names by those of `transformers`."""

    config: dict[str, Any]
    theirs: dict[str, str]

    @classmethod
    def of(cls, gguf: GgufFile) -> GgufNames:
        """Raises `BrokenBase` for a tensor or a setting that a supported architecture does not have."""
        if gguf.architecture not in _LAYER:
            require_supported(gguf.architecture)
        names = {_our_name(name, gguf.architecture): name for name in gguf.tensors}
        return cls(_config(gguf), names)

    def in_our_order(self, name: str, values: Values) -> Values:
        """values: [rows, ...] of one tensor."""
        heads = _turned_heads(name, self.config)
        return values if heads is None else _rope_halves(values, heads)

    def in_our_numbers(self, name: str, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The values of one tensor, all of it."""
        ours = self.in_our_order(name, values)
        return ours - np.float32(1) if _is_one_more(name, self.config) else ours


def gguf_name(name: str, config: Mapping[str, Any]) -> str:
    """llama.cpp's name of a tensor."""
    outer = {ours: theirs for theirs, ours in _OUTER.items()}
    if name in outer:
        return outer[name]
    block, _, rest = name.removeprefix("model.layers.").partition(".")
    inner = {ours: theirs for theirs, ours in _LAYER[ARCHITECTURES[config["model_type"]]].items()}
    return f"blk.{block}.{inner[rest]}"


def in_gguf_order(name: str, values: Values, config: Mapping[str, Any]) -> Values:
    """[out, ...] of one tensor in llama.cpp's row order."""
    heads = _turned_heads(name, config)
    if heads is None:
        return values
    rows, *rest = values.shape
    halves = values.reshape(heads, 2, rows // heads // 2, *rest)
    return cast(Values, np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape))


def in_gguf_numbers(name: str, values: npt.NDArray[np.float32], config: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """The values of one tensor as llama.cpp computes with them."""
    theirs = in_gguf_order(name, values, config)
    return theirs + np.float32(1) if _is_one_more(name, config) else theirs


def _turned_heads(name: str, config: Mapping[str, Any]) -> int | None:
    """Heads whose rows llama.cpp keeps in another order; None where it does not."""
    if ARCHITECTURES[config["model_type"]] != "llama":
        return None
    if name.endswith("q_proj.weight"):
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if name.endswith("k_proj.weight") else None


def _rope_halves(weight: Values, heads: int) -> Values:
    """Undo llama.cpp's row order within each head.

    llama.cpp rotates neighbouring rows (0,1), (2,3) ...; `transformers` rotates row i with row i + head_dim/2.
    """
    rows, *rest = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, *rest)
    return cast(Values, np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape))


def _is_one_more(name: str, config: Mapping[str, Any]) -> bool:
    """Gemma's norms multiply with 1 + weight, and llama.cpp keeps the sum."""
    return config["model_type"] == "gemma3_text" and name.endswith("norm.weight")


def _config(gguf: GgufFile) -> dict[str, Any]:
    scaling = gguf.setting("rope.scaling.type", "none")
    model_types = {theirs: ours for ours, theirs in ARCHITECTURES.items() if ours != "mistral"}
    given = {
        "model_type": model_types[gguf.architecture],
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
    return base_config({**given, **_gemma3_settings(gguf)} if gguf.architecture == "gemma3" else given)


def _gemma3_settings(gguf: GgufFile) -> dict[str, Any]:
    """What llama.cpp reads, and what it knows without being told."""
    layers, heads = gguf.setting("block_count"), gguf.setting("attention.head_count")
    largest = layers == 62  # the 27B model alone scales attention by another width than its heads'
    return {
        "sliding_window": gguf.setting("attention.sliding_window"),
        "rope_local_base_freq": gguf.setting("rope.freq_base_swa", 10000.0),
        "query_pre_attn_scalar": gguf.setting("embedding_length") // heads
        if largest
        else gguf.setting("attention.key_length"),
        "final_logit_softcapping": gguf.setting("final_logit_softcapping"),
    }


def _our_name(name: str, architecture: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    if name.startswith("blk.") and rest in _LAYER[architecture]:
        return f"model.layers.{block}.{_LAYER[architecture][rest]}"
    raise BrokenBase(
        f"The GGUF file holds a tensor {name}, which belongs to a {architecture} variant that is not supported.",
        fix=f"Choose a plain {architecture} model (no experts, extra biases or rotary scaling), or another such as SmolLM2.",
    )
