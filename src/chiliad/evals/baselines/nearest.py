"""The answer of the most similar training input: a look-up table that understands paraphrase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chiliad.data import Dataset, Example
from chiliad.evals.answering import Embed
from chiliad.evals.baselines.baseline import Baseline

_CHUNK = 512


def nearest_neighbour(dataset: Dataset, embed: Embed) -> Baseline:
    """Cosine similarity of embeddings; of equally near rows, the first one in training order."""
    known = embed([example.dialogue for example in dataset.train])
    answers = [example.answer for example in dataset.train]

    def predict(examples: Sequence[Example]) -> list[str]:
        asked = embed([example.dialogue for example in examples])
        parts = [np.argmax(asked[i : i + _CHUNK] @ known.T, axis=1) for i in range(0, len(asked), _CHUNK)]
        return [answers[row] for part in parts for row in part]

    return Baseline("nearest", "Nearest neighbour", predict)
