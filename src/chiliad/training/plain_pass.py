"""A training pass through PyTorch's autograd: the readable reference, and what runs where there is no compiled code."""

from __future__ import annotations

import torch

from chiliad.models import Transformer
from chiliad.training.attention import PackedAttention
from chiliad.training.grouped_lora import GroupedLora
from chiliad.training.loss import Learning, LossTally, answer_loss
from chiliad.training.packed import Packed


class PlainPass:
    """Any model on any device."""

    def __init__(self, model: Transformer) -> None:
        self.model = model

    def score(self, packed: Packed) -> LossTally:
        """The loss of every answer token."""
        with torch.no_grad():
            return self._loss(packed, train=False)[1]

    def learn(self, packed: Packed) -> Learning:
        """The same, and the way back."""
        nll, tally = self._loss(packed, train=True)
        return Learning(tally, nll.backward)

    def _loss(self, packed: Packed, *, train: bool) -> tuple[torch.Tensor, LossTally]:
        attend, project = PackedAttention(packed, self.model.config), GroupedLora(self.model, packed)
        hidden = self.model.hidden(
            packed.ids, packed.positions, attend, project, keep=packed.predicts, track_gradient=train
        )
        return answer_loss(hidden, self.model.head, packed.targets)
