"""One plain sentence on whether the expert was worth making, the first line of its card."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chiliad.metrics import PairedTest

LEAKED_MAX = 0.01
"""share of test inputs that may have been trained on before the score counts for nothing"""


class Outcome(StrEnum):
    EXPERT_WINS = "expert_wins"
    UNCLEAR = "unclear"
    BASELINE_TIES = "baseline_ties"
    BASELINE_WINS = "baseline_wins"
    VOID = "void"


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    line: str


def judge(expert: float, baseline: float, title: str, test: PairedTest, leaked: float) -> Verdict:
    """Compare the two scores on the same test rows. `leaked` is the share of test inputs seen in training."""
    outcome = _outcome(test, leaked)
    scores = f"{title} {percent(baseline)} against this expert's {percent(expert)} ({p_text(test.p_value)})"
    lines = {
        Outcome.VOID: f"Not a fair test: {percent(leaked)} of the test inputs were trained on. {_upper(scores)}.",
        Outcome.BASELINE_WINS: f"A baseline wins: {scores}.",
        Outcome.BASELINE_TIES: f"A baseline is as good: {scores}.",
        Outcome.UNCLEAR: (
            f"No proof that this expert is better than its best baseline: {percent(expert)} against "
            f"{percent(baseline)} for {title} ({p_text(test.p_value)})."
        ),
        Outcome.EXPERT_WINS: (
            f"This expert wins: {percent(expert)} against {percent(baseline)} for its best baseline, "
            f"{title} ({p_text(test.p_value)})."
        ),
    }
    return Verdict(outcome, lines[outcome])


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def p_text(p_value: float) -> str:
    return "p<0.001" if p_value < 0.001 else f"p={p_value:.2g}"


def _outcome(test: PairedTest, leaked: float) -> Outcome:
    if leaked > LEAKED_MAX:
        return Outcome.VOID
    if test.delta > 0:
        return Outcome.EXPERT_WINS if test.significant else Outcome.UNCLEAR
    return Outcome.BASELINE_WINS if test.significant else Outcome.BASELINE_TIES


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
