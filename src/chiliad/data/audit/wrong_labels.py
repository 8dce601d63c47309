"""Rows whose label is probably wrong, by what a model that never saw them makes of them.

Confident learning (Northcutt, Jiang and Chuang 2021, "Estimating uncertainty in dataset labels"): a row is suspect when the
model gives another label more confidence than rows of that label have on average, and more than it gives the row's own. The
model is the small embedder with logistic regression, cross-validated. Rows with the same input or of the same group,
also through third ones, are always in one fold: a copy of a row must not vouch for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiliad.data.example import Example
from chiliad.data.split import bundled
from chiliad.embeddings.embedder import Vectors

FOLDS = 5
_C = 10.0

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Doubt:
    """A row, by its number, whose label is in doubt. confidence: that the model has in either label."""

    row: int
    given: str
    likely: str
    given_confidence: float
    likely_confidence: float


@dataclass(frozen=True)
class Doubts:
    """Rows in doubt, the most doubtful first.

    margins: of every row how much more confidence its own label gets than the best other one, from -1 (surely wrong) to
    1; agreement: the share of rows whose label the model gives too. Where that is low, it is the model that errs.
    """

    found: tuple[Doubt, ...]
    margins: dict[int, float]
    agreement: float


def doubts_of(examples: Mapping[int, Example], vectors: Vectors) -> Doubts:
    """examples: by row number, with two labels or more; vectors: [examples, dimensions]."""
    numbers = list(examples)
    names, given = np.unique([example.answer for example in examples.values()], return_inverse=True)
    bundle_of = {key: number for number, bundle in enumerate(bundled(examples.values())) for key in bundle.keys}
    bundles = np.array([bundle_of[example.key] for example in examples.values()])
    shares = _held_out_shares(vectors, given, bundles, len(names))
    places = np.arange(len(given))
    own = shares[places, given]
    others = shares.copy()
    others[places, given] = -1.0
    margins = own - others.max(axis=1)
    likely = _likely(shares, given)
    doubtful = (place for place in np.argsort(margins, kind="stable") if likely[place] != given[place])
    return Doubts(
        found=tuple(
            Doubt(
                row=numbers[place],
                given=str(names[given[place]]),
                likely=str(names[likely[place]]),
                given_confidence=float(own[place]),
                likely_confidence=float(shares[place, likely[place]]),
            )
            for place in doubtful
        ),
        margins=dict(zip(numbers, map(float, margins), strict=True)),
        agreement=float(np.mean(shares.argmax(axis=1) == given)),
    )


def hits(seen: Sequence[Example], seen_vectors: Vectors, asked: Sequence[Example], asked_vectors: Vectors) -> float:
    """The share of `asked` that the model gives the right label after learning from `seen`, which has two labels or more."""
    names, given = np.unique([example.answer for example in seen], return_inverse=True)
    answers = names[_confidence(seen_vectors, given, asked_vectors).argmax(axis=1)]
    return float(np.mean(answers == np.array([example.answer for example in asked])))


def _held_out_shares(vectors: Vectors, given: NDArray[np.intp], bundles: NDArray[np.intp], labels: int) -> Shares:
    """The confidence in each label of a model that was trained without the row's fold: [rows, labels].

    A label that the other folds lack gets none.
    """
    shares = np.zeros((len(given), labels))
    for fold in _folds(given, bundles):
        seen = ~fold
        present = np.unique(given[seen])
        if len(present) == 1:
            shares[fold, present[0]] = 1.0
        else:
            shares[np.ix_(fold, present)] = _confidence(vectors[seen], given[seen], vectors[fold])
    return shares


def _likely(shares: Shares, given: NDArray[np.intp]) -> NDArray[np.intp]:
    """The label that each row probably has: its own, unless another one is as confident as rows of that label are."""
    usual = np.array([shares[given == label, label].mean() for label in range(shares.shape[1])])
    own = shares[np.arange(len(given)), given]
    candidates = np.where((shares >= usual) & (shares > own[:, None]), shares, -1.0)
    return np.where(candidates.max(axis=1) > 0, candidates.argmax(axis=1), given)


def _folds(given: NDArray[np.intp], bundles: NDArray[np.intp]) -> list[NDArray[np.bool_]]:
    """Which rows are held out, fold by fold: every label is shared out evenly, no bundle is taken apart."""
    fold_of_bundle: dict[int, int] = {}
    order = np.random.default_rng(0).permutation(len(given))
    for place, row in enumerate(order[np.argsort(given[order], kind="stable")]):
        fold_of_bundle.setdefault(int(bundles[row]), place % FOLDS)
    fold_of_row = np.array([fold_of_bundle[int(bundle)] for bundle in bundles])
    return [fold_of_row == fold for fold in range(FOLDS) if 0 < (fold_of_row == fold).sum() < len(given)]


def _confidence(seen: Vectors, given: NDArray[np.intp], asked: Vectors) -> Shares:
    from sklearn.linear_model import LogisticRegression  # here, because it takes a second to import

    model = LogisticRegression(C=_C, max_iter=1000).fit(seen, given)
    shares: Shares = model.predict_proba(asked)
    return shares
