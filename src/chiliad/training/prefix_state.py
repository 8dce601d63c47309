"""The trainable state of one expert of the kind prefix: keys and values that all its tokens see before their own."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.adapters import Factors, PrefixShape
from chiliad.adapters.prefix import BEFORE
from chiliad.models import Transformer


class PrefixState:
    """Implements `ExpertState`. Only plain passes know what to do with it.

    Starts as if that many words, drawn by the seed, stood before every row: Li and Liang (2021, section 7.5) found the
    activations of real words far better than random numbers. So this kind does not start at the base itself.
    """

    def __init__(self, model: Transformer, shape: PrefixShape, seed: int) -> None:
        self.shape, self.dtype = shape, model.dtype
        self.master = _of_words(model, shape.virtual_tokens, seed)
        self.grad = torch.zeros_like(self.master)
        config = model.config
        self._size = (config.num_layers, 2, shape.virtual_tokens, config.num_kv_heads, config.head_dim)
        self._leaf = self.master.detach().requires_grad_()
        self._leaf.grad = self.grad  # autograd adds to it in place

    @property
    def seen(self) -> PrefixState:
        return self

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """Each [virtual tokens, kv_heads, head_dim], in the graph of whoever tracks gradients."""
        keys, values = self._leaf.view(self._size)[layer].to(self.dtype).unbind()
        return keys, values

    def factors(self) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
        """(layer, BEFORE) -> keys and values, as views of the master weights."""
        both = self.master.view(self._size)
        return {(layer, BEFORE): (keys, values) for layer, (keys, values) in enumerate(both)}

    def load(self, factors: Factors) -> None:
        own = self.factors()
        for key, parts in factors.items():
            for mine, given in zip(own[key], parts, strict=True):
                mine.copy_(given)

    def refresh(self) -> None:
        """Passes read the master weights themselves."""

    def collect(self) -> None:
        """Passes add to `grad` itself."""


@torch.no_grad()
def _of_words(model: Transformer, count: int, seed: int) -> Tensor:
    """[layers * 2 * count * kv_heads * head_dim] float32: keys and values of that many words, as a cache would hold them."""
    ids = torch.randint(0, model.config.vocab_size, (count,), generator=torch.Generator().manual_seed(seed))
    found: list[Tensor] = []

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found.extend((k, v))
        return model.attend_causal(layer, q, k, v)

    model.hidden(ids, torch.arange(count), attend)
    return torch.cat([part.flatten() for part in found]).float()
