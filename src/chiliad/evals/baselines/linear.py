"""Linear classifiers, which cost next to nothing and are hard to beat when labels follow from words."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from chiliad.data import Dataset, Example
from chiliad.evals.answering import Embed
from chiliad.evals.baselines.baseline import Baseline

Features: TypeAlias = Any  # [rows, features], a numpy array or a scipy sparse matrix
MakeClassifier: TypeAlias = Callable[[float], Any]

_FOLDS = 3
_ONE_FOLD_ROWS = 2000  # with more rows than this one fold tells enough
_TINY_ROWS = 30  # with fewer rows a choice of C would be noise


def tfidf_linear(dataset: Dataset) -> Baseline:
    """TF-IDF over words, word pairs and character n-grams, then a linear SVM (Joachims 1998)."""
    vectoriser = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")),
            ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)),
        ]
    )
    features = vectoriser.fit_transform(_texts(dataset.train))
    classifier = _fitted(lambda c: LinearSVC(C=c, random_state=0), (1.0, 0.3, 3.0), features, dataset)

    def predict(examples: Sequence[Example]) -> list[str]:
        return _predicted(classifier, vectoriser.transform(_texts(examples))) if examples else []

    return Baseline("tfidf_linear", "TF-IDF + linear", predict)


def embedder_linear(dataset: Dataset, embed: Embed) -> Baseline:
    """A small sentence embedder, then logistic regression: the usual cheap classifier."""
    features = embed(_texts(dataset.train))
    classifier = _fitted(lambda c: LogisticRegression(C=c, max_iter=200), (10.0, 3.0, 30.0, 100.0), features, dataset)

    def predict(examples: Sequence[Example]) -> list[str]:
        return _predicted(classifier, embed(_texts(examples))) if examples else []

    return Baseline("embedder_linear", "Small embedder + linear", predict)


def _fitted(make: MakeClassifier, c_candidates: tuple[float, ...], features: Features, dataset: Dataset) -> Any:
    """The classifier trained on all training rows, its C chosen on folds of them; the first C wins a tie."""
    labels = np.array([example.answer for example in dataset.train])
    c = max(c_candidates, key=lambda candidate: _fold_hits(make(candidate), features, labels))
    return _fit(make(c), features, labels)


def _fold_hits(classifier: Any, features: Features, labels: NDArray[np.str_]) -> int:
    """How many held-out training rows the classifier gets right."""
    return sum(
        int(np.sum(_fit(classifier, features[seen], labels[seen]).predict(features[held]) == labels[held]))
        for seen, held in _folds(labels)
    )


def _folds(labels: NDArray[np.str_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(seen rows, held-out rows); none for tiny data, and only folds whose seen rows have two labels or more."""
    n = len(labels)
    if n < _TINY_ROWS:
        return
    fold_of_row = np.random.default_rng(0).permutation(n) % _FOLDS
    for fold in range(_FOLDS if n <= _ONE_FOLD_ROWS else 1):
        seen, held = np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold)
        if len(set(labels[seen])) > 1:
            yield seen, held


def _fit(classifier: Any, features: Features, labels: NDArray[np.str_]) -> Any:
    with warnings.catch_warnings():
        # A fit that stops at its iteration limit is as good a baseline as one that polishes the last digit, and
        # labels with few rows each are what the user has.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return classifier.fit(features, labels)


def _predicted(classifier: Any, features: Features) -> list[str]:
    return [str(label) for label in classifier.predict(features)]


def _texts(examples: Sequence[Example]) -> list[str]:
    return [example.dialogue for example in examples]
