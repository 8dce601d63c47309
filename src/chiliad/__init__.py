"""Chiliad: a thousand small expert language models on one shared base.

import chiliad

ws = chiliad.open("./ws")
expert = ws.train("tickets", data="tickets.csv")
expert("my card has not come")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiliad.workspace import Workspace

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(folder: str | Path = "ws", *, progress: bool = True, **settings: Any) -> Workspace:  # noqa: A001 - its name
    """Open a workspace, making it if it is not there. `settings` are those of `chiliad.toml`. Raises ConfigError.

    `progress` shows live bars while something takes long, in a terminal and in a notebook. PyTorch is loaded here, not
    by `import chiliad`.
    """
    from chiliad.config import Settings
    from chiliad.workspace import NotebookReporter, Reporter, RichReporter, SilentReporter, Workspace, in_notebook

    reporter: Reporter = SilentReporter()
    if progress:
        reporter = NotebookReporter() if in_notebook() else RichReporter()
    return Workspace.open(Settings.load(workspace=folder, **settings), reporter)
