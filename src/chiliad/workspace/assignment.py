"""One training that is to be done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256

from chiliad.config import Precision
from chiliad.data import Amended, Columns, Dataset
from chiliad.registry import ExpertVersion
from chiliad.workspace.options import TrainOptions


@dataclass(frozen=True)
class Assignment:
    name: str
    dataset: Dataset
    base: str
    options: TrainOptions
    columns: Columns | None
    """where the examples stood in the user's table; None if that is not known"""
    parent: ExpertVersion | None = None
    """the version to continue from"""
    corrections: Amended | None = None
    """what was corrected: those examples weigh more than others"""
    fine_tuned_model: str | None = None
    """a name that the version has besides its own, see `registry.fine_tuned`"""

    @property
    def settings_hash(self) -> str:
        """Tells it from other trainings of the same expert on the same dataset."""
        about = {
            "base": self.base,
            "options": asdict(self.options),
            "parent": str(self.parent.ref) if self.parent else None,
        }
        return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def base_precision(self) -> Precision:
        """What the base's linear layers are kept in while this is trained."""
        before = base_precision_of(self.parent) if self.parent else Precision.BF16
        return self.options.base_precision or before


def base_precision_of(version: ExpertVersion) -> Precision:
    """What a version was trained on. The first ones were all trained on bf16 and do not say so."""
    return Precision(version.training.get("base_precision", Precision.BF16))


def columns_of(version: ExpertVersion) -> Columns | None:
    """The columns that a version was trained on, for reading its corrections; None for chats and older versions."""
    told = version.training.get("columns")
    return Columns(tuple(told["inputs"]), told["output"]) if told else None
