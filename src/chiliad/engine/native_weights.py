"""A model's weights as the compiled decoder takes them: in bfloat16, or its matrices in codes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from chiliad.config import Precision
from chiliad.errors import ConfigError
from chiliad.kernels import BLOCK_INPUTS, DecoderShape, EndWeights, Format, LayerWeights, Matrix
from chiliad.models import Group, Transformer, head_name, weight_names
from chiliad.models.codes import LAYER_FORMATS, ReadCodes, coded, no_codes
from chiliad.models.qwen2 import Qwen2Layer
from chiliad.models.qwen3 import Qwen3Layer
from chiliad.models.transformer import Layer

_HEAD_FORMATS = {Precision.BF16: Format.BF16, Precision.INT8: Format.Q8_0, Precision.INT4: Format.Q8_0}
"""of the head, whose rounding goes into every logit"""


def native_weights(
    model: Transformer, precision: Precision, quantised: ReadCodes = no_codes
) -> tuple[DecoderShape, list[LayerWeights], EndWeights]:
    """What `Decoder` wants. Raises ConfigError for a model whose matrices have no codes in that precision."""
    c = model.config
    shape = DecoderShape(
        c.hidden_size, c.intermediate_size, c.vocab_size, c.num_heads, c.num_kv_heads, c.head_dim, c.rms_norm_eps
    )
    inside, outside = LAYER_FORMATS[precision], _HEAD_FORMATS[precision]
    layers = []
    for i, layer in enumerate(model.layers):
        qkv, o, gate_up, down = (
            _matrix(layer.weights[group], inside, weight_names(i, group), quantised) for group in Group
        )
        norms = layer.attention_norm, layer.mlp_norm
        layers.append(LayerWeights(*norms, qkv, o, gate_up, down, **_extras(layer)))
    head = _matrix(model.head, outside, [head_name(c)], quantised)
    return shape, layers, EndWeights(model.embedding, model.cos, model.sin, model.final_norm, head)


def _extras(layer: Layer) -> dict[str, Tensor]:
    """What an architecture has besides a Llama's norms and matrices."""
    if isinstance(layer, Qwen2Layer):
        return {"qkv_bias": layer.qkv_bias}
    if isinstance(layer, Qwen3Layer):
        return {"q_norm": layer.q_norm, "k_norm": layer.k_norm}
    return {}


def _matrix(weight: Tensor, wanted: Format, names: Sequence[str], quantised: ReadCodes) -> Matrix:
    """The codes that the weight came in, where they are of the wanted format; else it is rounded to that."""
    if wanted is Format.BF16:
        return weight
    if weight.shape[1] % BLOCK_INPUTS:
        raise ConfigError(
            f"A matrix of this base has {weight.shape[1]} inputs, and codes are kept for {BLOCK_INPUTS} at a time.",
            fix="Set engine.precision to bf16.",
        )
    return coded(weight, wanted, names, quantised)
