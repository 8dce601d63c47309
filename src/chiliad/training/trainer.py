"""Many experts on one frozen base: `forward_backward` fills their gradients, `optim_step` applies one expert's."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.adapters import AdapterShape
from chiliad.errors import TrainingError
from chiliad.models import Transformer
from chiliad.training.native_pass import NativePass
from chiliad.training.packed import Packed
from chiliad.training.plain_pass import PlainPass
from chiliad.training.prefix_state import PrefixState
from chiliad.training.rows import Batch, Row, cut, make_batch
from chiliad.training.scale_state import ScaleState
from chiliad.training.state import ExpertState, new_state

log = logging.getLogger(__name__)

PASS_TOKENS_MAX = 1024
"""tokens whose activations exist at once: large enough for full speed of the matrix products, small in memory"""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")

Part = tuple[str, Batch]
"""some rows of the expert of that name"""


@dataclass(frozen=True)
class StepReport:
    """nll: summed over answer tokens; tokens: of the rows, also where rows share some of them."""

    nll: float = 0.0
    answers: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Score:
    """Teacher-forced scores: mean -log p per answer token, and the share of rows whose every answer token came first.

    Greedy decoding gives a row's answer exactly when every answer token comes first, so `exact` needs no decoding.
    """

    loss: float
    exact: float


@dataclass
class _Expert:
    """answers: tokens whose gradients have been summed since the last step."""

    state: ExpertState
    optimizer: torch.optim.AdamW
    answers: int = 0


class Trainer:
    """Holds the experts in training by name. One expert's numbers never touch another's.

    With compiled passes an expert gets the same bits whoever trains beside it; with plain ones the same but for the order
    of sums inside PyTorch's products.
    """

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self._pass = NativePass(model) if NativePass.fits(model) else PlainPass(model)
        if isinstance(self._pass, PlainPass):
            log.info("training a %s with PyTorch: there is no compiled pass for it", type(model).__name__)
        self._experts: dict[str, _Expert] = {}

    def add(self, name: str, shape: AdapterShape, *, seed: int, weight_decay: float = 0.0) -> ExpertState:
        """Start an expert: at the base model, so that it computes the same, or before some words."""
        assert name not in self._experts, "two experts of one name would share their numbers"
        state = new_state(self.model, shape, seed)
        state.master.grad = state.grad
        optimizer = torch.optim.AdamW([state.master], lr=0.0, weight_decay=weight_decay, fused=True)
        self._experts[name] = _Expert(state, optimizer)
        return state

    def remove(self, name: str) -> None:
        del self._experts[name]

    def forward_backward(self, work: Mapping[str, Sequence[Row]]) -> dict[str, StepReport]:
        """Add to each expert's gradient that of the summed loss of its rows' answer tokens.

        Rows of several experts go through the base together, up to PASS_TOKENS_MAX tokens at a time. An expert whose
        loss is not finite shows it in its own report; the others' numbers are what they would be without it.
        """
        reports = dict.fromkeys(work, StepReport())
        parts = [(name, rows) for name, all_rows in work.items() for rows in cut(all_rows, tokens_max=PASS_TOKENS_MAX)]
        parts.sort(key=lambda part: self._is_plain(part[0]))
        for together in _passes(((name, make_batch(rows)) for name, rows in parts), self._is_plain):
            packed = Packed.of([(self._experts[name].state.seen, batch) for name, batch in together])
            tally = self._pass_of(together[0][0]).learn(packed)
            for (name, batch), segment in zip(together, packed.segments, strict=True):
                nll, known = float(tally.nll[segment.answers].sum()), reports[name]
                reports[name] = StepReport(
                    known.nll + nll, known.answers + len(batch.targets), known.tokens + batch.tokens
                )
        for name, report in reports.items():
            self._experts[name].answers += report.answers
        return reports

    def optim_step(self, name: str, *, learning_rate: float, clip: float = 1.0) -> float:
        """Apply the mean of the gradients of the answer tokens seen since the last step; returns its norm before clipping.

        Raises TrainingError for a gradient that is not finite, and then the expert stays as it was.
        """
        expert = self._experts[name]
        expert.state.collect()
        gradient = expert.state.grad.div_(expert.answers)
        norm = float(gradient.norm())
        if not math.isfinite(norm):
            raise _no_number(learning_rate)
        if norm > clip:
            gradient.mul_(clip / norm)
        expert.optimizer.param_groups[0]["lr"] = learning_rate
        expert.optimizer.step()
        gradient.zero_()
        expert.answers = 0
        expert.state.refresh()
        return norm

    def score(self, name: str, batches: Sequence[Sequence[Row]]) -> Score:
        """Loss and exact answers over batches of rows."""
        state = self._experts[name].state
        nll, answers, exact, rows = 0.0, 0, 0, 0
        for part in batches:
            batch = make_batch(part)
            tally = self._pass_of(name).score(Packed.of([(state.seen, batch)]))
            wrong = torch.zeros(batch.rows).index_add_(0, batch.answer_row, (~tally.correct).float())
            nll, answers = nll + float(tally.nll.sum()), answers + len(batch.targets)
            exact, rows = exact + int((wrong == 0).sum()), rows + batch.rows
        return Score(nll / max(answers, 1), exact / max(rows, 1))

    def _is_plain(self, name: str) -> bool:
        """Whether compiled passes do not know what this expert trains."""
        return isinstance(self._experts[name].state, ScaleState | PrefixState)

    def _pass_of(self, name: str) -> NativePass | PlainPass:
        return PlainPass(self.model) if self._is_plain(name) else self._pass

    def snapshot(self, name: str) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        expert = self._experts[name]
        moments = expert.optimizer.state[expert.state.master]
        return {"master": expert.state.master, **{key: moments[key] for key in MOMENTS if moments}}

    def restore(self, name: str, snapshot: Mapping[str, Tensor]) -> None:
        """Continue where `snapshot` was taken; the expert must have been added with the same shape."""
        expert = self._experts[name]
        expert.state.master.copy_(snapshot["master"])
        kept = {key: snapshot[key].clone() for key in MOMENTS if key in snapshot}
        expert.optimizer.state[expert.state.master] = kept
        expert.state.refresh()


def _passes(parts: Iterator[Part], is_plain: Callable[[str], bool]) -> Iterator[list[Part]]:
    """Neighbours go together as far as they fit and take the same kind of pass, but an expert's own parts one after
    another: each is a sum of its own."""
    group: list[Part] = []
    for name, batch in parts:
        tokens = sum(len(other.ids) for _, other in group) + len(batch.ids)
        apart = any(name == other or is_plain(name) != is_plain(other) for other, _ in group)
        if group and (tokens > PASS_TOKENS_MAX or apart):
            yield group
            group = []
        group.append((name, batch))
    if group:
        yield group


def _no_number(learning_rate: float) -> TrainingError:
    return TrainingError(
        "Training diverged: the gradient is no number any more.",
        fix=f"Give a learning rate below {learning_rate:g}, or leave it to be chosen.",
    )
