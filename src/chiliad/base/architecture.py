"""The architectures that a base model may have: which settings each is described by, which tensors it consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chiliad.errors import BrokenBase

Settings = Mapping[str, Any]
"""a `config.json` of `transformers`"""

Shapes = dict[str, tuple[int, ...]]

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
    "max_position_embeddings",
)
_SLIDING, _FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class Architecture:
    """vectors: a layer's tensors that are no matrices; settings: what it is described by besides what all have."""

    class_name: str
    vectors: Callable[[Settings], Shapes]
    settings: Callable[[Settings], dict[str, Any]]
    activation: str = "silu"
    tied: bool = False
    """whether its output matrix is the embedding where its config does not say"""


def require_supported(architecture: object) -> None:
    """Raises `BrokenBase`, naming what is supported, for any other architecture."""
    if architecture not in ARCHITECTURES:
        raise BrokenBase(
            f"Architecture {architecture!r} is not supported as a base model.",
            fix=f"Choose a model of one of these: {', '.join(ARCHITECTURES)} (SmolLM2 is a llama).",
        )


def base_config(given: Settings) -> dict[str, Any]:
    """`given` (a `config.json` as `transformers` writes it) with every setting explicit and nothing unknown.

    Raises `BrokenBase` for an architecture that is not supported, and for a setting that would change the computation in a
    way that is not implemented.
    """
    require_supported(given.get("model_type"))
    missing = [key for key in _REQUIRED if given.get(key) is None]
    if missing:
        raise BrokenBase(f"config.json lacks {', '.join(missing)}.", fix="Use the complete config.json of the model.")
    try:
        _refuse_variants(given)
        return _explicit(given)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, KeyError) as error:
        raise BrokenBase(
            f"A setting in config.json is not what it should be ({error}).", fix="Use the model's own config.json."
        ) from None


def rope_theta(config: Settings, default: float = 10_000.0) -> float:
    """The base of the rotary frequencies, from where either generation of `transformers` writes it."""
    nested = config.get("rope_parameters") or {}
    return float(config.get("rope_theta") or nested.get("rope_theta") or default)


def tensor_shapes(config: Settings) -> Shapes:
    """Every tensor of the model by its `transformers` name, with its shape."""
    hidden, wide, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer: Shapes = {
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.o_proj.weight": (hidden, queries),
        "mlp.gate_proj.weight": (wide, hidden),
        "mlp.up_proj.weight": (wide, hidden),
        "mlp.down_proj.weight": (hidden, wide),
        **ARCHITECTURES[config["model_type"]].vectors(config),
    }
    shapes: Shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for index in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def check_tensors(found: Mapping[str, tuple[int, ...]], config: Settings) -> None:
    """Raises `BrokenBase` unless the tensors are exactly those that `config` describes."""
    wanted, kind = tensor_shapes(config), config["model_type"]
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    wrong = [name for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    problems = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
    problems += [f"has {extra[0]}, which is not part of a {kind} model"] if extra else []
    problems += [f"holds {wrong[0]} as {found[wrong[0]]} instead of {wanted[wrong[0]]}"] if wrong else []
    if problems:
        raise BrokenBase(
            f"The checkpoint {'; '.join(problems)}.",
            fix=f"Use a complete, unmodified {kind} checkpoint and its own config.",
        )


def _explicit(given: Settings) -> dict[str, Any]:
    architecture, heads = ARCHITECTURES[given["model_type"]], int(given["num_attention_heads"])
    return {
        "architectures": [architecture.class_name],
        "model_type": given["model_type"],
        "vocab_size": int(given["vocab_size"]),
        "hidden_size": int(given["hidden_size"]),
        "intermediate_size": int(given["intermediate_size"]),
        "num_hidden_layers": int(given["num_hidden_layers"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(given.get("num_key_value_heads") or heads),
        "head_dim": int(given.get("head_dim") or given["hidden_size"] // heads),
        "hidden_act": architecture.activation,
        "rms_norm_eps": float(given["rms_norm_eps"]),
        "rope_theta": rope_theta(given),
        "max_position_embeddings": int(given["max_position_embeddings"]),
        "tie_word_embeddings": bool(given.get("tie_word_embeddings", architecture.tied)),
        "bos_token_id": given.get("bos_token_id"),
        "eos_token_id": given.get("eos_token_id"),
        "pad_token_id": given.get("pad_token_id"),
        "dtype": "bfloat16",
        **architecture.settings(given),
    }


def _refuse_variants(given: Settings) -> None:
    kind, scaling = given["model_type"], _rope_scaling(given)
    wanted = ARCHITECTURES[kind].activation
    activation = given.get("hidden_activation") or given.get("hidden_act") or wanted
    variants = {
        f"activation {activation!r}": activation != wanted,
        "biases in attention": kind != "qwen2" and bool(given.get("attention_bias")),
        "biases in the feed-forward part": bool(given.get("mlp_bias")),
        f"rotary scaling {scaling!r}": scaling != "default",
        "capped logits": any(given.get(f"{what}_logit_softcapping") for what in ("final", "attn")),
        "attention in both directions": bool(given.get("use_bidirectional_attention")),
    }
    for variant, present in variants.items():
        if present:
            raise BrokenBase(
                f"This {kind} variant is not supported: {variant}.",
                fix=f"Choose a {kind} model without it, or another such as SmolLM2.",
            )


def _rope_scaling(given: Settings) -> str:
    """How positions are stretched; with several kinds of layers, by the first that is stretched."""
    nested = given.get("rope_parameters") or given.get("rope_scaling") or {}
    kinds = [nested[kind] for kind in (_SLIDING, _FULL) if kind in nested] or [nested]
    scalings = [str(one.get("rope_type") or one.get("type") or "default") for one in kinds]
    return next((scaling for scaling in scalings if scaling != "default"), "default")


def _two_norms(config: Settings) -> Shapes:
    return dict.fromkeys(("input_layernorm.weight", "post_attention_layernorm.weight"), (config["hidden_size"],))


def _head_norms(config: Settings) -> Shapes:
    return dict.fromkeys(("self_attn.q_norm.weight", "self_attn.k_norm.weight"), (config["head_dim"],))


def _qkv_biases(config: Settings) -> Shapes:
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"], "v": config["num_key_value_heads"]}
    return {f"self_attn.{site}_proj.bias": (count * config["head_dim"],) for site, count in heads.items()}


def _gemma3_norms(config: Settings) -> Shapes:
    names = ("pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight")
    return {**_two_norms(config), **_head_norms(config), **dict.fromkeys(names, (config["hidden_size"],))}


def _llama_settings(given: Settings) -> dict[str, Any]:
    return {"attention_bias": False, "mlp_bias": False}


def _mistral_settings(given: Settings) -> dict[str, Any]:
    window = given.get("sliding_window")
    return {"sliding_window": int(window) if window else None}


def _qwen_settings(given: Settings) -> dict[str, Any]:
    slides, first = bool(given.get("use_sliding_window")), int(given.get("max_window_layers") or 0)
    window = int(given["sliding_window"]) if slides and given.get("sliding_window") else None
    kinds = [_SLIDING if window and layer >= first else _FULL for layer in range(given["num_hidden_layers"])]
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": first,
        "layer_types": _layer_types(given, kinds),
    }


def _gemma3_settings(given: Settings) -> dict[str, Any]:
    pattern = int(given.get("sliding_window_pattern") or given.get("_sliding_window_pattern") or 6)
    kinds = [_SLIDING if (layer + 1) % pattern else _FULL for layer in range(given["num_hidden_layers"])]
    nested = given.get("rope_parameters") or {}
    far, near = nested.get(_FULL) or {}, nested.get(_SLIDING) or {}
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_theta": float(far.get("rope_theta") or rope_theta(given, 1_000_000.0)),
        "rope_local_base_freq": float(near.get("rope_theta") or given.get("rope_local_base_freq") or 10_000.0),
        "query_pre_attn_scalar": int(given["query_pre_attn_scalar"]),
        "sliding_window": int(given["sliding_window"]),
        "layer_types": _layer_types(given, kinds),
        "attention_bias": False,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
    }


def _layer_types(given: Settings, otherwise: list[str]) -> list[str]:
    """What a newer config says of each layer, or what follows from an older one. Raises ValueError."""
    kinds = list(given.get("layer_types") or otherwise)
    if len(kinds) != given["num_hidden_layers"] or not set(kinds) <= {_SLIDING, _FULL}:
        raise ValueError(f"layer_types is {kinds}")
    return kinds


ARCHITECTURES = {
    "llama": Architecture("LlamaForCausalLM", _two_norms, _llama_settings),
    "mistral": Architecture("MistralForCausalLM", _two_norms, _mistral_settings),
    "qwen2": Architecture("Qwen2ForCausalLM", lambda c: {**_two_norms(c), **_qkv_biases(c)}, _qwen_settings),
    "qwen3": Architecture("Qwen3ForCausalLM", lambda c: {**_two_norms(c), **_head_norms(c)}, _qwen_settings),
    "gemma3_text": Architecture(
        "Gemma3ForCausalLM", _gemma3_norms, _gemma3_settings, activation="gelu_pytorch_tanh", tied=True
    ),
}
"""by the `model_type` of their `config.json`"""
