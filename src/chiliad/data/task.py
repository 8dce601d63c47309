"""What kind of task a set of examples is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from chiliad.data.example import Example

LABEL_CHARS_MAX = 80
UNSEEN_SHARE_MAX = 0.05


class TaskKind(StrEnum):
    LABELS = "labels"
    """a closed set of short answers"""
    JSON = "json"
    """every answer is a JSON object"""
    TEXT = "text"
    """anything else"""


def task_kind(examples: Sequence[Example]) -> TaskKind:
    """Tell the kind from the answers of the usable examples.

    The answers are a closed set when they are short, come back three times on average, and when at most one new
    answer in twenty would be one never seen. That share is estimated by the share of answers seen once (Good, "The
    population frequencies of species", Biometrika 1953); two such answers prove nothing and are allowed.
    """
    answers = Counter(example.answer for example in examples if example.usable)
    if not answers:
        return TaskKind.TEXT
    if all(map(_is_json_object, answers)):
        return TaskKind.JSON
    return TaskKind.LABELS if _closed(answers) else TaskKind.TEXT


def label_counts(examples: Sequence[Example]) -> dict[str, int]:
    """Count each answer of the usable examples, most frequent first."""
    counts = Counter(example.answer for example in examples if example.usable)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def may_be_label(answer: str) -> bool:
    """Whether an answer is short enough for one of a closed set."""
    return len(answer) <= LABEL_CHARS_MAX and "\n" not in answer


def _closed(answers: Counter[str]) -> bool:
    rows = answers.total()
    seen_once = sum(count == 1 for count in answers.values())
    short = all(map(may_be_label, answers))
    return short and len(answers) * 3 <= rows and seen_once <= max(2, UNSEEN_SHARE_MAX * rows)


def _is_json_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
