"""A model's weights as the compiled decoder takes them: in bfloat16, or its matrices in codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chiliad.base import QuantisedTensor, ReadQuantised
from chiliad.config import Precision
from chiliad.errors import ConfigError
from chiliad.kernels import BLOCK_INPUTS, BlockWeight, DecoderShape, EndWeights, Format, LayerWeights, Matrix
from chiliad.models import Group, Transformer, head_name, weight_names
from chiliad.models.qwen2 import Qwen2Layer
from chiliad.models.qwen3 import Qwen3Layer
from chiliad.models.transformer import Layer

_FORMATS = {
    Precision.BF16: (Format.BF16, Format.BF16),
    Precision.INT8: (Format.Q8_0, Format.Q8_0),
    Precision.INT4: (Format.Q4_1, Format.Q8_0),
}
"""of the layers' matrices, and of the head, whose rounding goes into every logit"""


def no_codes(_: str) -> None:
    """Of a base that did not come in codes."""


def native_weights(
    model: Transformer, precision: Precision, quantised: ReadQuantised = no_codes
) -> tuple[DecoderShape, list[LayerWeights], EndWeights]:
    """What `Decoder` wants. Raises ConfigError for a model whose matrices have no codes in that precision."""
    c = model.config
    shape = DecoderShape(
        c.hidden_size, c.intermediate_size, c.vocab_size, c.num_heads, c.num_kv_heads, c.head_dim, c.rms_norm_eps
    )
    inside, outside = _FORMATS[precision]
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


def _matrix(weight: Tensor, wanted: Format, names: Sequence[str], quantised: ReadQuantised) -> Matrix:
    """The codes that the weight came in, where they are of the wanted format; else it is rounded to that."""
    if wanted is Format.BF16:
        return weight
    if weight.shape[1] % BLOCK_INPUTS:
        raise ConfigError(
            f"A matrix of this base has {weight.shape[1]} inputs, and codes are kept for {BLOCK_INPUTS} at a time.",
            fix="Set engine.precision to bf16.",
        )
    parts = [_codes(part) for part in map(quantised, names) if part is not None]
    if len(parts) == len(names) and all(part.format is wanted for part in parts):
        codes = BlockWeight.cat(parts)
        if torch.equal(codes.numbers().to(weight.dtype), weight):
            return codes
    return BlockWeight.rounded(weight, wanted)


def _codes(tensor: QuantisedTensor) -> BlockWeight:
    offset = None if tensor.offset is None else torch.from_numpy(tensor.offset)
    return BlockWeight(torch.from_numpy(tensor.codes), torch.from_numpy(tensor.scale), offset)
