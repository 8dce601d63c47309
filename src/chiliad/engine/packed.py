"""The base's matrix products, as fast as this machine has them for a few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from chiliad.kernels import PackedLinear
from chiliad.models import Group, Llama

ROWS_MAX = 128
"""rows up to which a packed weight is faster"""

Linear = Callable[[Tensor], Tensor]
"""x [rows, in] -> [rows, out]"""


class PackedBase:
    """A model's projections and head. In bf16 on a CPU it holds a second copy of the weights, in the products' order."""

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._layers: list[dict[Group, Linear]] = []
        self._head: Linear | None = None
        pack = _packer(model)
        if pack is not None:
            self._layers = [{group: pack(model.weight(i, group)) for group in Group} for i in range(len(model.layers))]
            self._head = pack(model.head)

    def project(self, layer: int, group: Group, x: Tensor) -> Tensor:
        """The same as the model's own `project`, to within rounding."""
        if self._layers and len(x) <= ROWS_MAX:
            return self._layers[layer][group](x)
        return self._model.project(layer, group, x)

    def logits(self, hidden: Tensor) -> Tensor:
        """The same as the model's own `logits`, to within rounding."""
        if self._head is not None and len(hidden) <= ROWS_MAX:
            return self._head(hidden).float()
        return self._model.logits(hidden)


class OneDnnLinear:
    """A weight in oneDNN's own order."""

    def __init__(self, weight: Tensor) -> None:
        rows_typical = 32
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows_typical)

    def __call__(self, x: Tensor) -> Tensor:
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], ""))


def _packer(model: Llama) -> Callable[[Tensor], Linear] | None:
    """The best way to pack this model's weights here; None: leave them as they are."""
    weights = [model.head, *(model.weight(i, group) for i in range(len(model.layers)) for group in Group)]
    if all(PackedLinear.fits(weight) for weight in weights):
        return PackedLinear
    on_cpu = model.dtype == torch.bfloat16 and model.embedding.device.type == "cpu"
    if on_cpu and torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return OneDnnLinear
    return None
