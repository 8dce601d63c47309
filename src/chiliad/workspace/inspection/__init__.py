"""What an expert's adapter changes, and whether a smaller one would do."""

from chiliad.workspace.inspection.changes import Change, changes_of
from chiliad.workspace.inspection.inspection import Inspection, RankCost, inspected
from chiliad.workspace.inspection.prune import pruned_version

__all__ = ["Change", "Inspection", "RankCost", "changes_of", "inspected", "pruned_version"]
