"""A user's own scorer: a Python file with `def score(prediction: str, reference: str, input: str) -> float`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import ModuleType

from chiliad.errors import ConfigError
from chiliad.metrics.scorers import Scores

_FIX = "Write `def score(prediction: str, reference: str, input: str) -> float` that returns 0 (worst) to 1 (best)."


@dataclass(frozen=True)
class CustomScore:
    """A user's scoring function under a name. Checks what the function returns."""

    name: str
    score: Callable[[str, str, str], float]

    def scores(self, predictions: Sequence[str], references: Sequence[str], inputs: Sequence[str]) -> Scores:
        """Score every row. Raises ConfigError if the function fails or returns something that is no score."""
        rows = zip(predictions, references, inputs, strict=True)
        per_example = tuple(self._one(*row) for row in rows)
        return Scores(self.name, per_example, fmean(per_example))

    def _one(self, prediction: str, reference: str, text: str) -> float:
        try:
            value = float(self.score(prediction, reference, text))
        except (Exception, SystemExit) as error:
            raise ConfigError(f"The scorer {self.name} failed: {type(error).__name__}: {error}.", fix=_FIX) from error
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ConfigError(f"The scorer {self.name} returned {value}.", fix=_FIX)
        return value


def load_scorer(path: Path) -> CustomScore:
    """Run the user's file and take its `score` function. Only for files that the user names on the command line.

    Raises ConfigError if the file is missing, does not run or has no such function.
    """
    score = getattr(_run_file(path), "score", None)
    if not callable(score):
        raise ConfigError(f"{path} has no function named score.", fix=_FIX)
    return CustomScore(path.stem, score)


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"There is no scorer file {path}.", fix=_FIX)
    spec = importlib.util.spec_from_file_location(f"chiliad_scorer_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file.", fix=_FIX)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path} does not run: {type(error).__name__}: {error}.", fix=_FIX) from error
    return module
