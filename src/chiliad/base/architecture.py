"""The one architecture that a base model may have: which settings it is described by, which tensors it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chiliad.errors import BrokenBase

SUPPORTED = ("llama",)

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
    "max_position_embeddings",
)


def require_supported(architecture: object) -> None:
    """Raises `BrokenBase`, naming what is supported, for any other architecture."""
    if architecture not in SUPPORTED:
        raise BrokenBase(
            f"Architecture {architecture!r} is not supported as a base model.",
            fix=f"Choose a model of one of these: {', '.join(SUPPORTED)} (SmolLM2 is one).",
        )


def llama_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` (a `config.json` as `transformers` writes it) with every setting explicit and nothing unknown.

    Raises `BrokenBase` for a setting that would change the computation in a way that is not implemented.
    """
    missing = [key for key in _REQUIRED if given.get(key) is None]
    if missing:
        raise BrokenBase(f"config.json lacks {', '.join(missing)}.", fix="Use the complete config.json of the model.")
    try:
        _refuse_variants(given)
        return _explicit(given)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise BrokenBase(
            f"A setting in config.json is not what it should be ({error}).", fix="Use the model's own config.json."
        ) from None


def rope_theta(config: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies, from where either generation of `transformers` writes it."""
    nested = config.get("rope_parameters") or {}
    return float(config.get("rope_theta") or nested.get("rope_theta") or 10000.0)


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model by its `transformers` name, with its shape."""
    hidden, wide, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (wide, hidden),
        "mlp.up_proj.weight": (wide, hidden),
        "mlp.down_proj.weight": (hidden, wide),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for index in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def check_tensors(found: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> None:
    """Raises `BrokenBase` unless the tensors are exactly those that `config` describes."""
    wanted = tensor_shapes(config)
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    wrong = [name for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    problems = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
    problems += [f"has {extra[0]}, which is not part of a llama model"] if extra else []
    problems += [f"holds {wrong[0]} as {found[wrong[0]]} instead of {wanted[wrong[0]]}"] if wrong else []
    if problems:
        raise BrokenBase(
            f"The checkpoint {'; '.join(problems)}.",
            fix="Use a complete, unmodified llama checkpoint and its own config.",
        )


def _explicit(given: Mapping[str, Any]) -> dict[str, Any]:
    heads = int(given["num_attention_heads"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": int(given["vocab_size"]),
        "hidden_size": int(given["hidden_size"]),
        "intermediate_size": int(given["intermediate_size"]),
        "num_hidden_layers": int(given["num_hidden_layers"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(given.get("num_key_value_heads") or heads),
        "head_dim": int(given.get("head_dim") or given["hidden_size"] // heads),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rms_norm_eps": float(given["rms_norm_eps"]),
        "rope_theta": rope_theta(given),
        "max_position_embeddings": int(given["max_position_embeddings"]),
        "tie_word_embeddings": bool(given.get("tie_word_embeddings", False)),
        "bos_token_id": given.get("bos_token_id"),
        "eos_token_id": given.get("eos_token_id"),
        "pad_token_id": given.get("pad_token_id"),
        "dtype": "bfloat16",
    }


def _refuse_variants(given: Mapping[str, Any]) -> None:
    nested = given.get("rope_parameters") or given.get("rope_scaling") or {}
    scaling = nested.get("rope_type") or nested.get("type") or "default"
    variants = {
        f"activation {given.get('hidden_act')!r}": given.get("hidden_act", "silu") != "silu",
        "biases in attention": bool(given.get("attention_bias")),
        "biases in the feed-forward part": bool(given.get("mlp_bias")),
        f"rotary scaling {scaling!r}": scaling != "default",
    }
    for variant, present in variants.items():
        if present:
            raise BrokenBase(
                f"This llama variant is not supported: {variant}.",
                fix="Choose a llama model without it, such as SmolLM2.",
            )
