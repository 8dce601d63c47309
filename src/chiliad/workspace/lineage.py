"""What a version has learned: from its own dataset, and from those of the versions that it was continued from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from chiliad.data import Dataset, Example
from chiliad.errors import ExpertNotFound, UnusableData
from chiliad.registry import ExpertVersion
from chiliad.workspace.lessons import CONTINUED_FROM

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def dataset_of(workspace: Workspace, version: ExpertVersion) -> Dataset:
    """What a version was trained and tested on. Raises UnusableData for an imported one."""
    if version.dataset_hash is None:
        raise UnusableData(
            f"{version.ref} was imported without its examples.", fix="Train an expert on a table of examples."
        )
    return workspace.dataset(version.dataset_hash)


def lineage(workspace: Workspace, version: ExpertVersion | None) -> Iterator[Dataset]:
    """The datasets of a version and of those before it, newest first. Raises UnusableData at the first that is not known."""
    while version is not None:
        yield dataset_of(workspace, version)
        version = _before(workspace, version)


def known_lineage(workspace: Workspace, version: ExpertVersion | None) -> list[Dataset]:
    """The same, as far as it is known."""
    known: list[Dataset] = []
    with suppress(UnusableData):
        for dataset in lineage(workspace, version):
            known.append(dataset)
    return known


def learned_before(workspace: Workspace, version: ExpertVersion) -> list[Example]:
    """What those before a version have learned, as far as that is known."""
    with suppress(UnusableData):
        return [
            example for dataset in known_lineage(workspace, _before(workspace, version)) for example in dataset.learned
        ]
    return []


def _before(workspace: Workspace, version: ExpertVersion) -> ExpertVersion | None:
    earlier = version.training.get(CONTINUED_FROM)
    try:
        return workspace.registry.get(earlier) if earlier else None
    except ExpertNotFound as error:
        raise UnusableData(
            f"{version.ref} was continued from {earlier}, which is gone, and with it what that had learned.",
            fix="Continue from another version, or train on the base.",
        ) from error
