"""The gate: what may take the place of the live version, by their answers to its frozen test rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chiliad.errors import ExpertNotFound, PromotionRefused
from chiliad.registry import Comparison, ExpertVersion, Registry
from chiliad.workspace.expert import Expert
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import compare_versions

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def gated(workspace: Workspace, expert: Expert, reporter: Reporter) -> Expert:
    """Compare with the live version on its frozen test rows, and promote unless that is significantly worse."""
    name, number = expert.version.name, expert.version.number
    comparison = compared(workspace, expert, reporter)
    if comparison:
        workspace.registry.record_comparison(name, comparison)
    try:
        workspace.registry.promote(name, number, comparison)
    except PromotionRefused as refusal:
        return replace(expert, comparison=comparison, refusal=refusal)
    return replace(expert, comparison=comparison)


def compared(workspace: Workspace, candidate: Expert, reporter: Reporter) -> Comparison | None:
    """With the live version, on the rows that it was tested on; on the candidate's own only if it was imported."""
    live = live_version(workspace.registry, candidate.version.name)
    if live is None or live.number == candidate.version.number:
        return None
    judge = workspace.expert(live.ref) if live.dataset_hash else candidate
    return compare_versions(candidate, workspace.expert(live.ref), workspace.own_dataset(judge), reporter)


def live_version(registry: Registry, name: str) -> ExpertVersion | None:
    try:
        return registry.get(name)
    except ExpertNotFound:
        return None
