"""Proof: an expert beside its baselines on rows that nothing was trained on, and the card that says what came of it."""

from chiliad.evals.answering import Answer, Answerer, Embed, OnProgress, Prompt
from chiliad.evals.card import Card, Subject, make_card
from chiliad.evals.options import EvalOptions
from chiliad.evals.runner import Comparison, Result, answer_tokens_max, evaluate, make_judge, run_expert
from chiliad.evals.verdict import Outcome, Verdict

__all__ = [
    "Answer",
    "Answerer",
    "Card",
    "Comparison",
    "Embed",
    "EvalOptions",
    "OnProgress",
    "Outcome",
    "Prompt",
    "Result",
    "Subject",
    "Verdict",
    "answer_tokens_max",
    "evaluate",
    "make_card",
    "make_judge",
    "run_expert",
]
