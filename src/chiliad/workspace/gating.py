"""The gate: what may take the place of the live version, by their answers to its frozen test rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chiliad.data import Dataset
from chiliad.errors import ExpertNotFound, PromotionRefused
from chiliad.registry import Comparison, ExpertRef, ExpertVersion, Registry
from chiliad.workspace.expert import Expert
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import compare_versions

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def gated(workspace: Workspace, expert: Expert, reporter: Reporter) -> Expert:
    """Compare with the live version and the best one before it, and promote unless that is significantly worse.

    What was promoted before, by a run whose end was not noted, keeps that verdict: what has become live since then, or was
    rolled back to, stays.
    """
    name, number = expert.version.name, expert.version.number
    steps = [step for step in workspace.registry.history(name) if step.version == number]
    if steps:
        return replace(expert, comparison=steps[0].comparison)
    comparison = compared(workspace, expert, reporter)
    try:
        workspace.registry.promote(name, number, comparison)
    except PromotionRefused as refusal:
        return replace(expert, comparison=comparison, refusal=refusal)
    return replace(expert, comparison=comparison)


def compared(workspace: Workspace, candidate: Expert, reporter: Reporter) -> Comparison | None:
    """With the live version, on the rows that it was tested on; on the candidate's own only if it was imported.

    And with the best version before, if that was tested on the same rows. Both are put on record; the first is returned.
    """
    name = candidate.version.name
    live = live_version(workspace.registry, name)
    if live is None or live.number == candidate.version.number:
        return None
    rows = workspace.own_dataset(workspace.expert(live.ref) if live.dataset_hash else candidate)
    others = [workspace.expert(live.ref), *_best(workspace, live, candidate.version, rows)]
    comparisons = compare_versions(candidate, others, rows, reporter)
    for comparison in comparisons:
        workspace.registry.record_comparison(name, comparison)
    return comparisons[0]


def live_version(registry: Registry, name: str) -> ExpertVersion | None:
    try:
        return registry.get(name)
    except ExpertNotFound:
        return None


def _best(workspace: Workspace, live: ExpertVersion, candidate: ExpertVersion, rows: Dataset) -> list[Expert]:
    """The best version before, if it is another one and none of the rows was ever taught to it."""
    number = workspace.registry.best(live.name)
    if number is None or number in (live.number, candidate.number):
        return []
    best = workspace.expert(ExpertRef(live.name, number))
    has_rows = best.version.dataset_hash is not None
    return [best] if has_rows and workspace.own_dataset(best).test == rows.test else []
