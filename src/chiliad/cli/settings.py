"""The settings of a command that works on a workspace that is there, or only looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from chiliad.config import Settings

if TYPE_CHECKING:
    from chiliad.workspace import Workspace


def existing(workspace: Path | None) -> Settings:
    """Raises RegistryError when there is no workspace: a mistyped folder must not become an empty new one."""
    from chiliad.registry import require_workspace

    settings = Settings.load(workspace=workspace)
    require_workspace(settings.workspace)
    return settings


@contextmanager
def looked_at(settings: Settings) -> Iterator[Workspace]:
    """The workspace, or an empty one elsewhere if there is none yet: looking makes nothing."""
    from chiliad.workspace import Workspace

    with TemporaryDirectory(prefix="chiliad-") as aside:
        folder = settings.workspace if settings.workspace.exists() else Path(aside)
        with Workspace.open(replace(settings, workspace=folder)) as ws:
            yield ws
