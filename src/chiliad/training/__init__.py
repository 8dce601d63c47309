"""Training many experts on one frozen base."""

from chiliad.training.fit import Ended, fit, fit_many
from chiliad.training.recipe import Recipe, choose_recipe
from chiliad.training.rows import Row
from chiliad.training.run import Course, FitResult, StepEvent
from chiliad.training.trainer import Score, StepReport, Trainer

__all__ = [
    "Course",
    "Ended",
    "FitResult",
    "Recipe",
    "Row",
    "Score",
    "StepEvent",
    "StepReport",
    "Trainer",
    "choose_recipe",
    "fit",
    "fit_many",
]
