"""A training pass through PyTorch's autograd: the readable reference, and what runs where there is no compiled code."""

from __future__ import annotations

import torch

from chiliad.models import Llama
from chiliad.training.attention import PackedAttention
from chiliad.training.grouped_lora import GroupedLora
from chiliad.training.lora_state import LoraState
from chiliad.training.loss import LossTally, answer_loss
from chiliad.training.rows import Batch


class PlainPass:
    """Any model on any device."""

    def __init__(self, model: Llama) -> None:
        self.model = model

    def score(self, batch: Batch, state: LoraState) -> LossTally:
        """The loss of every answer token."""
        with torch.no_grad():
            return self._loss(batch, state, train=False)[1]

    def learn(self, batch: Batch, state: LoraState, *, scale: float) -> LossTally:
        """The same, and `scale` times the gradient of their sum added to the expert's."""
        loss, tally = self._loss(batch, state, train=True)
        (loss * scale).backward()
        return tally

    def _loss(self, batch: Batch, state: LoraState, *, train: bool) -> tuple[torch.Tensor, LossTally]:
        attend, project = PackedAttention(batch.grid), GroupedLora(self.model, state)
        hidden = self.model.hidden(
            batch.ids, batch.positions, attend, project, keep=batch.predicts, track_gradient=train
        )
        return answer_loss(hidden, self.model.head, batch.targets)
