"""The baselines beside which every expert is judged, one file per idea behind one interface."""

from __future__ import annotations

from collections.abc import Callable

from chiliad.data import Dataset, TaskKind
from chiliad.evals.answering import Embed
from chiliad.evals.baselines.baseline import Baseline
from chiliad.evals.baselines.frequent import most_frequent
from chiliad.evals.baselines.nearest import nearest_neighbour
from chiliad.evals.baselines.prompted import Prompter, few_shot, zero_shot

__all__ = ["Baseline", "Prompter", "baseline_makers"]


def baseline_makers(dataset: Dataset, prompter: Prompter, embed: Embed | None) -> list[Callable[[], Baseline]]:
    """What trains each baseline that fits the task, the simplest first. Without `embed`, those that need it are out."""
    makers: list[Callable[[], Baseline]] = [
        lambda: most_frequent(dataset),
        lambda: zero_shot(dataset, prompter),
        lambda: few_shot(dataset, prompter),
    ]
    if embed is not None:
        makers.append(lambda: nearest_neighbour(dataset, embed))
    if dataset.kind is TaskKind.LABELS:
        # Here, because scikit-learn takes a second to import and reading a card needs none of it.
        from chiliad.evals.baselines.linear import embedder_linear, tfidf_linear

        makers.append(lambda: tfidf_linear(dataset))
        if embed is not None:
            makers.append(lambda: embedder_linear(dataset, embed))
    return makers
