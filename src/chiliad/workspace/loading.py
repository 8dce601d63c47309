"""Adapters that a client loads from one folder under a name, and unloads again, as vLLM's clients do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chiliad.base import DEFAULT_BASE
from chiliad.errors import AccessError, BrokenAdapter, ExpertNotFound, RegistryError
from chiliad.registry import ExpertVersion
from chiliad.registry.expert import EXPERT_FILE
from chiliad.registry.import_ import LOADED, WANTED_FILES, import_adapter

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def load_from_folder(
    workspace: Workspace, name: str, path: str, *, base: str | None = None, again: bool = False
) -> ExpertVersion:
    """Import the adapter at `path`, inside `server.adapter_folder`, as a live version of the expert `name`.

    `base` is its base, which what was exported from Chiliad names itself. An expert of that name must not be there yet;
    with `again` it may be one that was loaded before. Raises AccessError, AdapterError, RegistryError, BaseNotFound.
    """
    folder = _allowed(workspace.settings.server.adapter_folder, path)
    loaded = _versions(workspace, name)
    if loaded and not again:
        raise RegistryError(f"There is an expert {name} already.", fix="Unload it first, or set load_inplace.")
    _require_loaded(loaded, name)
    base_id = workspace.base_called(base or _base_named(folder))
    version = import_adapter(workspace.registry, name, folder, workspace.bases.get(base_id), loaded=True)
    workspace.registry.promote(version.name, version.number, force=True)
    return version


def unload(workspace: Workspace, name: str) -> None:
    """Forget an expert that was loaded; its files stay in the folder. Raises ExpertNotFound, RegistryError."""
    _require_loaded(workspace.registry.versions(name), name)
    workspace.registry.delete_expert(name)


def _allowed(root: Path | None, path: str) -> Path:
    """The folder at `path`. What is outside of `root` and what is not there are told apart for nobody."""
    if root is None:
        raise AccessError(
            "This server loads no adapters.", fix="Set server.adapter_folder to the folder that holds them."
        )
    missing = BrokenAdapter(
        f"There is no adapter {path[:200]!r} in the folder of adapters.", fix="Give its path inside that folder."
    )
    try:
        root = root.resolve()
        folder = (root / path).resolve()
        inside = [entry.resolve().is_relative_to(root) for entry in (folder, *(folder / name for name in WANTED_FILES))]
        if all(inside) and folder != root and folder.is_dir():
            return folder
    except (OSError, ValueError) as error:  # a loop of links, a NUL
        raise missing from error
    raise missing


def _base_named(folder: Path) -> str:
    return ExpertVersion.read(folder).base_id if (folder / EXPERT_FILE).is_file() else DEFAULT_BASE


def _versions(workspace: Workspace, name: str) -> list[ExpertVersion]:
    try:
        return workspace.registry.versions(name)
    except ExpertNotFound:
        return []


def _require_loaded(versions: list[ExpertVersion], name: str) -> None:
    if not all(version.training.get(LOADED) for version in versions):
        raise RegistryError(
            f"{name} was not loaded from the folder of adapters.", fix="Experts that were made here are kept."
        )
