"""Many experts from one collection of tables: planned, trained together, noted as they end, reported."""

from chiliad.workspace.many.many import Many
from chiliad.workspace.many.outcome import Outcome
from chiliad.workspace.many.plan import ManyPlan
from chiliad.workspace.many.report import ManyReport

__all__ = ["Many", "ManyPlan", "ManyReport", "Outcome"]
