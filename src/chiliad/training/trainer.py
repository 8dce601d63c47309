"""Many experts on one frozen base: `forward_backward` fills an expert's gradient, `optim_step` applies it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.adapters import LoraShape
from chiliad.models import Llama
from chiliad.training.lora_state import LoraState
from chiliad.training.native_pass import NativePass
from chiliad.training.plain_pass import PlainPass
from chiliad.training.rows import Row, cut, make_batch

PASS_TOKENS_MAX = 1024
"""tokens whose activations exist at once: large enough for full speed of the matrix products, small in memory"""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class StepReport:
    """nll: summed over answer tokens; tokens: of the rows, also where rows share some of them."""

    nll: float
    answers: int
    tokens: int


@dataclass(frozen=True)
class Score:
    """Teacher-forced scores: mean -log p per answer token, and the share of rows whose every answer token came first.

    Greedy decoding gives a row's answer exactly when every answer token comes first, so `exact` needs no decoding.
    """

    loss: float
    exact: float


class Trainer:
    """Holds the experts in training by name. One expert's numbers never touch another's."""

    def __init__(self, model: Llama) -> None:
        self.model = model
        self._pass = NativePass(model) if NativePass.fits(model) else PlainPass(model)
        self._experts: dict[str, LoraState] = {}
        self._optimizers: dict[str, torch.optim.AdamW] = {}

    def add(self, name: str, shape: LoraShape, *, seed: int, weight_decay: float = 0.0) -> LoraState:
        """Start an expert at the base model: its B factors are zero."""
        state = LoraState(self.model.config, shape, self.model.dtype, seed)
        state.master.grad = state.grad
        self._experts[name] = state
        self._optimizers[name] = torch.optim.AdamW([state.master], lr=0.0, weight_decay=weight_decay, fused=True)
        return state

    def remove(self, name: str) -> None:
        del self._experts[name], self._optimizers[name]

    def forward_backward(self, name: str, rows: Sequence[Row]) -> StepReport:
        """Add the gradient of the mean loss per answer token of these rows, a few hundred tokens at a time."""
        state = self._experts[name]
        answers = sum(row.answer_length for row in rows)
        nll, tokens = 0.0, 0
        for part in cut(rows, tokens_max=PASS_TOKENS_MAX):
            tally = self._pass.learn(make_batch(part), state, scale=1 / answers)
            nll, tokens = nll + float(tally.nll.sum()), tokens + sum(len(row.ids) - 1 for row in part)
        return StepReport(nll, answers, tokens)

    def optim_step(self, name: str, *, learning_rate: float, clip: float = 1.0) -> float:
        """Apply and clear the gradient; returns its norm before clipping."""
        state, optimizer = self._experts[name], self._optimizers[name]
        norm = float(state.grad.norm())
        if norm > clip:
            state.grad.mul_(clip / norm)
        optimizer.param_groups[0]["lr"] = learning_rate
        optimizer.step()
        state.grad.zero_()
        state.refresh()
        return norm

    def score(self, name: str, batches: Sequence[Sequence[Row]]) -> Score:
        """Loss and exact answers over batches of rows."""
        state = self._experts[name]
        nll, answers, exact, rows = 0.0, 0, 0, 0
        for part in batches:
            batch = make_batch(part)
            tally = self._pass.score(batch, state)
            wrong = torch.zeros(batch.rows).index_add_(0, batch.answer_row, (~tally.correct).float())
            nll, answers = nll + float(tally.nll.sum()), answers + len(batch.targets)
            exact, rows = exact + int((wrong == 0).sum()), rows + batch.rows
        return Score(nll / max(answers, 1), exact / max(rows, 1))

    def snapshot(self, name: str) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        moments = self._optimizers[name].state[self._experts[name].master]
        return {"master": self._experts[name].master, **{key: moments[key] for key in MOMENTS if moments}}

    def restore(self, name: str, snapshot: Mapping[str, Tensor]) -> None:
        """Continue where `snapshot` was taken; the expert must have been added with the same shape."""
        state = self._experts[name]
        state.master.copy_(snapshot["master"])
        self._optimizers[name].state[state.master] = {key: snapshot[key].clone() for key in MOMENTS if key in snapshot}
        state.refresh()
