"""From a collection of tables to a version of each expert and a report: planned, trained together, noted as they end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chiliad.config import Precision
from chiliad.data import Member, members_of, read_collection
from chiliad.errors import BaseModelError, ChiliadError, DataError, RegistryError, StoreError
from chiliad.registry import name_like
from chiliad.store.files import folder_lock
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.expert import Expert
from chiliad.workspace.given import Data, source_of, table_of
from chiliad.workspace.jobs import from_document, to_document
from chiliad.workspace.many.board import Board, board_for
from chiliad.workspace.many.outcome import Journal, Made, Outcome, Proof
from chiliad.workspace.many.plan import Entry, ManyPlan, Named, Planner
from chiliad.workspace.many.report import ManyReport
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.proof import scores_on
from chiliad.workspace.teaching import Taught, Teaching

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

REPORTS_FOLDER = "reports"
OUTCOMES_FOLDER = "outcomes"


class Many:
    """The experts of one collection. `ws/reports/<title>/` holds what came of each, which a later command goes on from."""

    def __init__(
        self, workspace: Workspace, data: Data, *, title: str | None, named: Named, base: str, options: TrainOptions
    ) -> None:
        self._workspace, self._data, self._named = workspace, data, named
        self._base, self._options = base, options
        self.folder = workspace.folder / REPORTS_FOLDER / (title or _title(data))
        self._journal = Journal(self.folder / OUTCOMES_FOLDER)

    def plan(self) -> ManyPlan:
        """Read every table. Nothing is written. Raises DataError, BaseModelError."""
        with self._workspace.reporter as reporter:
            members = self._members()
            planner = Planner(self._workspace, self._base, self._options, self._named)
            return planner.plan(members, self._journal.read(), reporter)

    def train(self, plan: ManyPlan) -> ManyReport:
        """Train what is to do, and write the report.

        What goes wrong with one expert is in its outcome. Stopped or killed, the same collection planned again goes on.
        Raises StoreError, also if another process is at it, and BaseModelError.
        """
        with folder_lock(self.folder, wait=False):
            outcomes = [*plan.left_out, *plan.done]
            with board_for(self._workspace.reporter) as board:
                board.begin({entry.name: entry.tokens * entry.recipe.epochs for entry in plan.to_do}, outcomes)
                for outcome in self._trained(plan.to_do, board):
                    self._journal.note(outcome)
                    board.ended(outcome)
                    outcomes.append(outcome)
            report = ManyReport.of(self.folder, outcomes)
            report.write()
            return report

    def _members(self) -> list[Member]:
        if isinstance(self._data, str | Path):
            return read_collection(Path(self._data))
        return members_of(table_of(self._data))

    def _trained(self, entries: tuple[Entry, ...], board: Board) -> Iterator[Outcome]:
        by_name = {entry.name: entry for entry in entries}
        failed: list[Outcome] = []
        teaching = Teaching(self._workspace, self._base, self._options.base_precision or Precision.BF16, board)
        for taught in teaching.ended(self._assignments(entries, failed)):
            yield from _taken(failed)
            yield self._outcome(by_name[taught.assignment.name], taught, board)
        yield from _taken(failed)

    def _assignments(self, entries: tuple[Entry, ...], failed: list[Outcome]) -> Iterator[Assignment]:
        """Each table is read again and frozen when its turn comes; one that has changed for the worse goes to `failed`."""
        for entry in entries:
            try:
                yield self._assignment(entry)
            except (StoreError, BaseModelError):
                raise
            except ChiliadError as error:
                failed.append(Outcome.failed(entry.member.label, entry.name, entry.family, error))

    def _assignment(self, entry: Entry) -> Assignment:
        """Preferences start from the live version, which their training replaces: where they began is kept until its end."""
        begun = self._begun(entry)
        if begun is not None:
            return begun
        assigned = self._assigned(entry)
        if assigned.dataset.preferences is not None:
            self._journal.begin(entry.name, entry.key, to_document(assigned))
        return assigned

    def _begun(self, entry: Entry) -> Assignment | None:
        """What an earlier command began and did not end, unless what it needs is gone."""
        document = self._journal.begun(entry.name, entry.key)
        with suppress(DataError, RegistryError):
            return from_document(self._workspace, document) if document else None
        return None

    def _assigned(self, entry: Entry) -> Assignment:
        lot, named = entry.member.read(), self._named
        return self._workspace.assign(
            entry.name,
            lot.train,
            test=lot.test,
            input=named.input,
            output=named.output,
            group=named.group,
            instruction=lot.instruction,
            base=self._base,
            options=self._options,
        )

    def _outcome(self, entry: Entry, taught: Taught, board: Board) -> Outcome:
        label, name, family, found = entry.member.label, entry.name, entry.family, taught.outcome
        if isinstance(found, ChiliadError):
            return Outcome.failed(label, name, family, found)
        try:
            proof = self._proof(found, taught.assignment, board)
        except (StoreError, BaseModelError):
            raise
        except ChiliadError as error:
            return Outcome.failed(label, name, family, error)
        refusal = found.refusal
        cause, fix = (refusal.cause, refusal.fix) if refusal else (None, None)
        return Outcome(label, name, family, entry.key, Made.of(found), proof, cause, fix)

    def _proof(self, expert: Expert, assignment: Assignment, board: Board) -> Proof:
        card = expert.card
        if card is not None:
            return Proof.of_card(card)
        started, dataset = time.perf_counter(), assignment.dataset
        scores = scores_on(expert, dataset.test, dataset, board)
        return Proof.of_scores(scores, time.perf_counter() - started)


def _taken(outcomes: list[Outcome]) -> Iterator[Outcome]:
    while outcomes:
        yield outcomes.pop(0)


def _title(data: Data) -> str:
    """A folder's name that says which collection it was."""
    source = source_of(data)
    with suppress(ValueError):
        source = Path(source).with_suffix("").name
    return name_like(source) or "experts"
