"""The sentences and figures of a card, the same in Markdown and on the page. Plain text: whoever shows it escapes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chiliad.data import TaskKind
from chiliad.data.near import NEAR
from chiliad.evals.verdict import p_text, percent

if TYPE_CHECKING:
    from chiliad.evals.card import Card

Facts = list[tuple[str, str]]

CURVES = ("loss", "dev_loss")
"""training facts that are drawn, not listed"""
FOR_PROGRAMS = ("adapter", "run", "columns", "dev_exact", "new_labels")
"""training facts that say nothing to people as they are"""
AGREED = "preferences_agreed"
_IN_SENTENCE = ("preferences_held_out", AGREED, "chosen_likelier", "chosen_likelier_before")
"""training facts that `preference_sentence` tells"""

_METRICS = {
    "accuracy": "Accuracy",
    "exact_match": "Exact match",
    "json_field_f1": "JSON field F1",
    "macro_f1": "Macro-F1",
    "rouge_l": "ROUGE-L",
    "span_f1": "Span F1",
    "token_f1": "Token F1",
}
_KINDS = {TaskKind.LABELS: "choose a label", TaskKind.JSON: "fill in a JSON object", TaskKind.TEXT: "write text"}


def metric_title(name: str) -> str:
    """A user's own scorer keeps the name of its file."""
    return _METRICS.get(name, name)


def kind_text(kind: TaskKind) -> str:
    return _KINDS[kind]


def interval_text(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def test_sentence(card: Card) -> str:
    """The paired test, with what was compared and on how many rows."""
    test = card.test
    return (
        f"Paired test against {card.best_row.title}, the best baseline on development rows: difference "
        f"{_points(test.delta)} points (95 % interval {_points(test.low)} to {_points(test.high)}), "
        f"{p_text(test.p_value)}, {test.method}, {test.n:,} test rows."
    )


def leak_sentence(card: Card) -> str:
    """How many test inputs were also trained on."""
    leaks = card.leaks
    if not leaks.exact and not leaks.near:
        return f"Leakage check: none of the {leaks.rows:,} test inputs is a copy or a near copy of a training input."
    found = (
        f"Leakage check: of {leaks.rows:,} test inputs {leaks.exact:,} are copies of a training input and "
        f"{leaks.near:,} more are near copies (at least {100 * NEAR:.0f} % the same text)."
    )
    return found if leaks.score_without is None else f"{found} Score without them: {percent(leaks.score_without)}."


def preference_sentence(training: Mapping[str, Any]) -> str:
    """What a version that learned preferences makes of those that it never saw: `AGREED` is among its facts."""
    count, likelier = training["preferences_held_out"], training.get("chosen_likelier")
    moved = f"Of {count:,} preferences held out, training moved {percent(training[AGREED])} the way that they point"
    if likelier is None:
        return f"{moved}."
    before = percent(training["chosen_likelier_before"])
    return f"{moved}; the chosen answer is the likelier one in {percent(likelier)}, before it was in {before}."


def decoding_sentence(card: Card) -> str:
    if card.constrained:
        return "Decoding: constrained, so that every answer of the expert and of the base model is one of the labels."
    return "Decoding: free; the expert writes whatever it finds most likely, token by token."


def provenance_facts(card: Card) -> Facts:
    origin = card.provenance
    facts = [
        ("Source file", origin.source),
        ("Dataset", origin.dataset_hash[:12]),
        ("Rows", f"{origin.train_rows:,} train, {origin.dev_rows:,} development, {origin.test_rows:,} test"),
        ("Base model", f"{card.subject.base_id} ({card.subject.base_fingerprint[:12]})"),
    ]
    return facts + ([("Instruction", origin.instruction)] if origin.instruction else [])


def training_facts(card: Card) -> Facts:
    facts = [
        (_title(key), _value(key, value))
        for key, value in card.subject.training.items()
        if key not in (*CURVES, *FOR_PROGRAMS, *_IN_SENTENCE)
    ]
    return [*facts, ("Adapter", f"{adapter_kind(card.subject.training)}, {bytes_text(card.subject.adapter_bytes)}")]


def adapter_kind(training: Mapping[str, Any]) -> str:
    """The first experts were all LoRA's and did not say so."""
    return str(training.get("adapter", "lora"))


def cost_facts(card: Card) -> Facts:
    cost = card.cost
    facts = [("One answer, asked in batches", duration_text(cost.seconds_per_answer))]
    if cost.seconds_per_correct is not None:
        facts.append(("One correct answer", duration_text(cost.seconds_per_correct)))
    if cost.train_seconds is not None:
        facts.append(("Training, once", duration_text(cost.train_seconds)))
    facts.append(("Tokens per answer", f"{cost.tokens_per_answer:.1f}"))
    return facts + ([("Machine", card.subject.machine)] if card.subject.machine else [])


def duration_text(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def bytes_text(count: int) -> str:
    if count < 10**6:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 10**9 else f"{count / 1e9:.2f} GB"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def _title(key: str) -> str:
    if key == "seconds":
        return "Time"
    return key[:1].upper() + key[1:].replace("_", " ")


def _value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and key.endswith("seconds"):
        return duration_text(float(value))
    if isinstance(value, int) and key.endswith("bytes"):
        return bytes_text(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
