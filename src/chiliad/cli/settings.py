"""The settings of a command that works on a workspace that is there."""

from __future__ import annotations

from pathlib import Path

from chiliad.config import Settings


def existing(workspace: Path | None) -> Settings:
    """Raises RegistryError when there is no workspace: a mistyped folder must not become an empty new one."""
    from chiliad.registry import require_workspace

    settings = Settings.load(workspace=workspace)
    require_workspace(settings.workspace)
    return settings
