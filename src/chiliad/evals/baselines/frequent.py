"""The answer that is most frequent in training, whatever is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chiliad.data import Dataset, Example, TaskKind
from chiliad.evals.baselines.baseline import Baseline

MAJORITY = "majority"


def most_frequent(dataset: Dataset) -> Baseline:
    """The majority class of a labelling task. Of equally frequent answers, the first in alphabetical order."""
    counts = Counter(example.answer for example in dataset.train)
    answer = min(counts, key=lambda candidate: (-counts[candidate], candidate))

    def predict(examples: Sequence[Example]) -> list[str]:
        return [answer] * len(examples)

    title = "Majority class" if dataset.kind is TaskKind.LABELS else "Most frequent answer"
    return Baseline(MAJORITY, title, predict)
