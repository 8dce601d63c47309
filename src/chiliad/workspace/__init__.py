"""The composition root: opens the store, builds the rooms and hands them to each other."""

from chiliad.workspace.expert import Expert
from chiliad.workspace.notebook import NotebookReporter, in_notebook
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.progress import Reporter, RichReporter, SilentReporter
from chiliad.workspace.workspace import Workspace

__all__ = [
    "Expert",
    "NotebookReporter",
    "Reporter",
    "RichReporter",
    "SilentReporter",
    "TrainOptions",
    "Workspace",
    "in_notebook",
]
