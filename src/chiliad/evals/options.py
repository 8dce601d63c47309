"""What can be chosen about an evaluation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvalOptions:
    base_rows_max: int = 200
    """rows of a split that the untrained base model answers: it is slow, and so far off that more rows tell nothing"""
    shots: int = 5
    prompt_tokens_max: int = 1024
    """tokens of a few-shot prompt; examples that do not fit are left out"""
    answer_tokens_max: int | None = None
    """tokens of an answer; by default half as many again as the longest training answer has"""
    constrain: bool = True
    """for labels, let an answer only be one of the labels"""
    seed: int = 0
    """of bootstrap draws, sign flips and the choice of `base_rows_max` rows"""
