"""How good a set of answers is, how sure that is, and whether one set is better than another."""

from chiliad.metrics.custom import CustomScore, load_scorer
from chiliad.metrics.intervals import Interval, bootstrap_interval
from chiliad.metrics.learning_curve import Expected, LearningCurve, Measured
from chiliad.metrics.paired import PairedTest, paired_test
from chiliad.metrics.scorers import (
    Scorer,
    Scores,
    accuracy,
    exact_match,
    json_field_f1,
    macro_f1,
    main_metric,
    metrics_for,
    rouge_l,
    span_f1,
    token_f1,
)

__all__ = [
    "CustomScore",
    "Expected",
    "Interval",
    "LearningCurve",
    "Measured",
    "PairedTest",
    "Scorer",
    "Scores",
    "accuracy",
    "bootstrap_interval",
    "exact_match",
    "json_field_f1",
    "load_scorer",
    "macro_f1",
    "main_metric",
    "metrics_for",
    "paired_test",
    "rouge_l",
    "span_f1",
    "token_f1",
]
