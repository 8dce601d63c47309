"""A few trainings on parts of an expert's rows, together on one base, in a workspace of their own that goes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chiliad.adapters import AdapterKind
from chiliad.data import thinned
from chiliad.errors import ChiliadError, UnusableData
from chiliad.store.files import folder_lock, remove_folder
from chiliad.workspace.assignment import Assignment, base_precision_of
from chiliad.workspace.expert import Expert
from chiliad.workspace.gating import live_version
from chiliad.workspace.lessons import CONTINUED_FROM
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.progress import Reporter
from chiliad.workspace.teaching import Teaching

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

DRAWS = ((8, 2), (4, 2), (2, 1))
"""(one part in so many of the training rows, how many different draws of it)"""
PART_ROWS_MIN = 4
"""a part with fewer rows is left out"""
ROWS_MIN = 16
"""training rows: they have at least a quarter and a half to learn from"""


@dataclass(frozen=True)
class SmallRun:
    """An expert that was trained on a part of the rows; it answers as long as its workspace is open."""

    rows: int
    expert: Expert


@contextmanager
def small_runs(workspace: Workspace, expert: Expert, reporter: Reporter) -> Iterator[tuple[Workspace, list[SmallRun]]]:
    """Train them, and remove them when the block ends without an exception: until then a later call goes on.

    Raises UnusableData for fewer than ROWS_MIN training rows, and for an expert that learned something else besides them,
    StoreError if another process is at it, and what goes wrong with any of them.
    """
    version = expert.version
    assignments = _assignments(workspace, expert)
    folder = workspace.folder / "runs" / f"forecast-{version.name}-{version.number}"
    with folder_lock(folder, wait=False):
        settings = replace(workspace.settings, workspace=folder / "ws", database_url=None)
        with type(workspace).open(settings, reporter) as scratch:
            yield scratch, _trained(scratch, assignments, reporter)
        remove_folder(folder)


def _assignments(workspace: Workspace, expert: Expert) -> list[Assignment]:
    """With the kind and rank of the expert, and otherwise the settings that so many rows would be given."""
    dataset, version = workspace.own_dataset(expert), expert.version
    _require_own_examples(expert)
    if len(dataset.train) < ROWS_MIN:
        raise UnusableData(
            f"{expert.ref} has {len(dataset.train)} training rows, too few to learn from parts of them.",
            fix=f"Train it on a table that leaves {ROWS_MIN} rows for training, about 30 in all.",
        )
    told = version.training
    kind = AdapterKind(told.get("adapter", AdapterKind.LORA))
    options = TrainOptions(
        kind=kind,
        base_precision=base_precision_of(version),
        rank=told.get("rank"),
        rslora=bool(told.get("rslora")),
        virtual_tokens=told.get("virtual_tokens"),
        baselines=False,
    )
    return [
        Assignment(f"part-{part}-{draw}", thinned(dataset, rows, draw=draw), version.base_id, options, None)
        for part, draws in DRAWS
        for draw in range(draws)
        if (rows := len(dataset.train) // part) >= PART_ROWS_MIN
    ]


def _require_own_examples(expert: Expert) -> None:
    """The small ones begin as the base and learn examples: only an expert that did so too is a point of their curve."""
    told = expert.version.training
    earlier = told.get(CONTINUED_FROM)
    if earlier or "method" in told:
        more = f"what {earlier} learned" if earlier else "preferences"
        raise UnusableData(
            f"{expert.ref} has learned its examples and also {more}: trainings on parts of the examples say nothing of it.",
            fix="Forecast a version that was trained on examples from the base, or train one on these without --from.",
        )


def _trained(scratch: Workspace, assignments: Sequence[Assignment], reporter: Reporter) -> list[SmallRun]:
    """Those that an earlier process finished are there already."""
    left = [one for one in assignments if live_version(scratch.registry, one.name) is None]
    first = assignments[0]
    teaching = Teaching(scratch, first.base, first.base_precision, reporter)
    for done, taught in enumerate(teaching.ended(left), start=1):
        if isinstance(taught.outcome, ChiliadError):
            raise taught.outcome
        reporter.stage("small trainings", done, len(left))
    return [SmallRun(len(one.dataset.train), scratch.expert(one.name)) for one in assignments]
