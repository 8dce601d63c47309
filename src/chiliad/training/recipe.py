"""How an expert is trained, and the automatic choice of it from the size of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chiliad.adapters import LoraShape
from chiliad.models import SITES


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data. Two runs with equal recipes and rows give equal adapters."""

    rank: int = 8
    alpha: float = 16.0
    rslora: bool = False
    learning_rate: float = 1e-3
    epochs: int = 4
    rows_per_batch: int = 16
    batch_tokens_max: int = 1024
    warmup_share: float = 0.06
    weight_decay: float = 0.0
    patience: int = 3
    """epochs without a better dev score before training stops"""
    seed: int = 0

    @property
    def shape(self) -> LoraShape:
        return LoraShape(self.rank, self.alpha, self.rslora, SITES)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Linear warm-up, then a cosine down to a twentieth; `step` counts from 0."""
        warmup = max(1, round(self.warmup_share * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, steps - warmup)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def choose_recipe(
    train_rows: int,
    *,
    rank: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    rslora: bool = False,
    seed: int = 0,
) -> Recipe:
    """Fill in what the user left open: few rows get small batches and many epochs, many rows the opposite."""
    rank = rank or (8 if train_rows < 2_000 else 16)
    return Recipe(
        rank=rank,
        alpha=2.0 * (math.sqrt(rank) if rslora else rank),
        rslora=rslora,
        learning_rate=learning_rate or (2e-3 if train_rows < 2_000 else 1e-3),
        epochs=epochs or max(3, min(8, round(6_000 / train_rows))),
        rows_per_batch=max(8, min(32, train_rows // 24)),
        seed=seed,
    )
