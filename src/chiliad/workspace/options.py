"""What a user may choose about a training; what is left open is chosen from the data."""

from __future__ import annotations

from dataclasses import dataclass, field

from chiliad.adapters import AdapterKind
from chiliad.config import Precision
from chiliad.evals import EvalOptions
from chiliad.training import Method


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    method: Method | None = None
    """None: what the data is for"""
    beta: float | None = None
    """of preferences: the larger, the nearer the expert stays to where it started"""
    kind: AdapterKind = AdapterKind.LORA
    base_precision: Precision | None = None
    """what the frozen base's linear layers are kept in; None: bf16, or as for the version that is continued"""
    rank: int | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    learning_rate_multiplier: float = 1.0
    """times the learning rate that is given or chosen"""
    rows_per_batch: int | None = None
    rslora: bool = False
    virtual_tokens: int | None = None
    """of the kind prefix"""
    seed: int = 0
    baselines: bool = True
    """False skips the baselines: the gate still compares with the live version, but there is no card"""
    evaluation: EvalOptions = field(default_factory=EvalOptions)
