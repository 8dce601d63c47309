"""An inspection: what the adapter changes where, what smaller ranks cost on development rows, and which one to take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chiliad.adapters import LoraAdapter, LoraShape, as_lora
from chiliad.adapters.spectrum import Factors, pruned
from chiliad.training import Lesson, Row, Score, Trainer
from chiliad.training.rows import scoring_batches
from chiliad.training.trainer import PASS_TOKENS_MAX
from chiliad.workspace.expert import Expert
from chiliad.workspace.inspection.changes import Change, changes_of
from chiliad.workspace.inspection.page import to_html
from chiliad.workspace.lessons import row_of
from chiliad.workspace.progress import Reporter

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

LOSS_RISE_MAX = 0.02
"""by which share the development loss may rise for a rank that is suggested"""
BYTES_PER_NUMBER = 2
"""adapters are kept in bfloat16"""


@dataclass(frozen=True)
class RankCost:
    """What is left of the expert at a rank, on its development rows. rank 0 is the base without any adapter.

    loss: mean -log p of an answer token; exact: share of rows whose answer would be written word for word, unconstrained.
    """

    rank: int
    bytes: int
    loss: float
    exact: float


@dataclass(frozen=True)
class Inspection:
    """costs: for each rank that was tried, the expert's own first; empty for an expert without development rows.

    suggested: the smallest rank that answers as many development rows and whose loss is at most LOSS_RISE_MAX higher; None
    when that is the rank it has, or nothing was tried.
    """

    expert: str
    base: str
    rank: int
    changes: tuple[Change, ...]
    costs: tuple[RankCost, ...]
    suggested: int | None
    dev_rows: int

    @property
    def suggestion(self) -> str:
        """In a sentence."""
        if not self.costs:
            return "There are no development rows to try smaller ranks on."
        if self.suggested is None:
            return f"No smaller rank than {self.rank} is as good on the {self.dev_rows} development rows: leave it."
        smaller = next(cost for cost in self.costs if cost.rank == self.suggested)
        saved = 1 - smaller.bytes / self.costs[0].bytes
        return (
            f"Rank {self.suggested} is as good on the {self.dev_rows} development rows and {100 * saved:.0f} % smaller: "
            f"`chiliad inspect {self.expert} --apply` makes it the next version, if the gate agrees."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "suggestion": self.suggestion}

    def to_html(self) -> str:
        return to_html(self)


def inspected(workspace: Workspace, expert: Expert, reporter: Reporter) -> Inspection:
    """Look at a version's adapter as its file has it. Nothing is written. Raises AdapterError."""
    served, model = expert.served, expert.served.model
    own = served.adapter_in(expert.folder)
    adapter = as_lora(own)
    rows = _dev_rows(workspace, expert)
    costs = tuple(_costs(Trainer(model), adapter, rows, reporter)) if rows and own is adapter else ()
    return Inspection(
        expert=str(expert.ref),
        base=served.base.id,
        rank=adapter.rank,
        changes=changes_of(adapter, model),
        costs=costs,
        suggested=suggested_rank(costs),
        dev_rows=len(rows),
    )


def suggested_rank(costs: Sequence[RankCost]) -> int | None:
    """costs: those of the full rank first."""
    if not costs:
        return None
    full, *smaller = costs
    enough = [
        cost.rank
        for cost in smaller
        if cost.rank and cost.exact >= full.exact and cost.loss <= full.loss * (1 + LOSS_RISE_MAX)
    ]
    return min(enough, default=None)


def ranks_to_try(rank: int) -> list[int]:
    """The rank itself, then powers of two and the steps half-way between them, down to 1."""
    steps = {2**power for power in range(rank.bit_length())} | {3 * 2**power for power in range(rank.bit_length())}
    return [rank, *sorted((step for step in steps if step < rank), reverse=True)]


def _dev_rows(workspace: Workspace, expert: Expert) -> list[Row]:
    """Those that fit into the base's context; none for an expert that was imported without examples."""
    if expert.version.dataset_hash is None:
        return []
    dataset = workspace.own_dataset(expert)
    rows = (row_of(example, expert.served, expert.template) for example in dataset.dev)
    return [row for row in rows if len(row.ids) <= expert.served.context_max]


def _costs(trainer: Trainer, adapter: LoraAdapter, rows: Sequence[Row], reporter: Reporter) -> Iterator[RankCost]:
    batches = scoring_batches(rows, tokens_max=PASS_TOKENS_MAX)
    ranks = ranks_to_try(adapter.rank)
    for done, rank in enumerate((*ranks, 0)):
        reporter.stage("ranks", done, len(ranks) + 1)
        shape, factors = pruned(adapter, rank or 1)
        score = _score(trainer, shape, factors if rank else {}, batches)
        numbers = sum(down.numel() + up.numel() for down, up in factors.values()) if rank else 0
        yield RankCost(rank, BYTES_PER_NUMBER * numbers, score.loss, score.exact)


def _score(trainer: Trainer, shape: LoraShape, factors: Factors, batches: Sequence[Sequence[Lesson]]) -> Score:
    """Without factors it is the base that is scored: an adapter starts at zero."""
    name = "inspected"
    state = trainer.add(name, shape, seed=0)
    state.load(factors)
    score = trainer.score(name, batches)
    trainer.remove(name)
    return score
