"""Training many experts on one frozen base."""

from chiliad.training.fit import Ended, fit, fit_many
from chiliad.training.opinion import Agreement, Opinion, Pair, Thumb
from chiliad.training.recipe import Method, Recipe, choose_recipe
from chiliad.training.rows import Lesson, Row
from chiliad.training.run import Course, FitResult, StepEvent
from chiliad.training.trainer import Score, StepReport, Trainer

__all__ = [
    "Agreement",
    "Course",
    "Ended",
    "FitResult",
    "Lesson",
    "Method",
    "Opinion",
    "Pair",
    "Recipe",
    "Row",
    "Score",
    "StepEvent",
    "StepReport",
    "Thumb",
    "Trainer",
    "choose_recipe",
    "fit",
    "fit_many",
]
