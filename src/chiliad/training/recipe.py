"""How an expert is trained, and the automatic choice of it from the size of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from chiliad.adapters import AdapterKind, AdapterShape, Basis, CoreShape, Ia3Shape, LoraShape, PrefixShape
from chiliad.models import SITES

LEARNING_RATES = {
    AdapterKind.LORA: 2e-3,
    AdapterKind.SHARED_BASIS: 4e-3,
    AdapterKind.IA3: 5e-3,
    AdapterKind.PREFIX: 1e-2,
}
"""for few rows; half of it for many"""
OPINIONS_RATE_SHARE = 0.03
"""of these rates for opinions: what they move is there already, and is lost if it is moved fast"""
OPINIONS_EPOCHS = 3
BETA = 0.1


class Method(StrEnum):
    """What is learned from."""

    SUPERVISED = "supervised"
    """answers that are wanted"""
    DPO = "dpo"
    """pairs of answers of which one is better"""
    KTO = "kto"
    """answers of which each is good or bad"""


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data. Two runs with equal recipes and rows give equal adapters."""

    kind: AdapterKind = AdapterKind.LORA
    rank: int = 8
    alpha: float = 16.0
    rslora: bool = False
    virtual_tokens: int = 16
    """of the kind prefix"""
    learning_rate: float = 1e-3
    epochs: int = 4
    rows_per_batch: int = 16
    batch_tokens_max: int = 1024
    warmup_share: float = 0.06
    weight_decay: float = 0.0
    patience: int = 3
    """epochs without a better dev score before training stops"""
    seed: int = 0

    def shape(self, basis: Basis | None = None) -> AdapterShape:
        """What is trained; for the kind shared-basis it takes the basis."""
        if self.kind is AdapterKind.LORA:
            return LoraShape(self.rank, self.alpha, self.rslora, SITES)
        if self.kind is AdapterKind.IA3:
            return Ia3Shape()
        if self.kind is AdapterKind.PREFIX:
            return PrefixShape(self.virtual_tokens)
        assert basis is not None
        assert basis.rank == self.rank
        return CoreShape(basis)

    @property
    def adapter_text(self) -> str:
        """What is trained, for people."""
        if self.kind is AdapterKind.PREFIX:
            return f"{self.kind} of {self.virtual_tokens} virtual tokens"
        return self.kind.value if self.kind is AdapterKind.IA3 else f"{self.kind} of rank {self.rank}"

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
    kind: AdapterKind = AdapterKind.LORA,
    rank: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    rslora: bool = False,
    virtual_tokens: int | None = None,
    seed: int = 0,
    opinions: bool = False,
) -> Recipe:
    """Fill in what the user left open: few rows get small batches and many epochs, many rows the opposite.

    opinions: what the rows are, in the place of examples.
    """
    few = train_rows < 2_000
    rate = LEARNING_RATES[kind] * (OPINIONS_RATE_SHARE if opinions else 1.0)
    rank = rank or (8 if few or kind is not AdapterKind.LORA else 16)
    return Recipe(
        kind=kind,
        rank=rank,
        alpha=2.0 * (math.sqrt(rank) if rslora else rank),
        rslora=rslora,
        virtual_tokens=virtual_tokens or 16,
        learning_rate=learning_rate or (rate if few else rate / 2),
        epochs=epochs or (OPINIONS_EPOCHS if opinions else max(3, min(8, round(6_000 / train_rows)))),
        rows_per_batch=max(8, min(32, train_rows // 24)),
        seed=seed,
    )
