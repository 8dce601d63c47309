"""Batches of several experts laid end to end, as one pass over the base takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.training.lora_state import LoraState
from chiliad.training.prefix_state import PrefixState
from chiliad.training.rows import Batch
from chiliad.training.scale_state import ScaleState


@dataclass(frozen=True)
class Segment:
    """One expert's part; `tokens` and `answers` say where it lies among all."""

    state: LoraState | ScaleState | PrefixState
    batch: Batch
    tokens: slice
    answers: slice


@dataclass(frozen=True)
class Packed:
    """ids, positions: [tokens]; predicts, targets: [answers], all as in `Batch`, with places counted over all segments, and
    positions after an expert's virtual tokens.

    An expert has one segment at most: its gradient is one sum over the segment's rows.
    """

    ids: Tensor
    positions: Tensor
    predicts: Tensor
    targets: Tensor
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[LoraState | ScaleState | PrefixState, Batch]]) -> Packed:
        segments: list[Segment] = []
        tokens = answers = 0
        for state, batch in parts:
            token_end, answer_end = tokens + len(batch.ids), answers + len(batch.targets)
            segments.append(Segment(state, batch, slice(tokens, token_end), slice(answers, answer_end)))
            tokens, answers = token_end, answer_end
        batches = [batch for _, batch in parts]
        return cls(
            ids=torch.cat([batch.ids for batch in batches]),
            positions=torch.cat([batch.positions + virtual_tokens(state) for state, batch in parts]),
            predicts=torch.cat([segment.batch.predicts + segment.tokens.start for segment in segments]),
            targets=torch.cat([batch.targets for batch in batches]),
            segments=tuple(segments),
        )


def virtual_tokens(state: LoraState | ScaleState | PrefixState) -> int:
    """How many positions an expert's rows leave to what stands before them."""
    return state.shape.virtual_tokens if isinstance(state, PrefixState) else 0
