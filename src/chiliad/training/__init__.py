"""Training many experts on one frozen base."""

from chiliad.training.fit import FitResult, StepEvent, fit
from chiliad.training.recipe import Recipe, choose_recipe
from chiliad.training.rows import Row
from chiliad.training.trainer import Score, StepReport, Trainer

__all__ = ["FitResult", "Recipe", "Row", "Score", "StepEvent", "StepReport", "Trainer", "choose_recipe", "fit"]
