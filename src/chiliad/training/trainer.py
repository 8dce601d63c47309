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
from chiliad.training.rows import Batch, Lesson, Seen, Verdict, cut, flat, judged, make_batch, seen_of
from chiliad.training.scale_state import ScaleState
from chiliad.training.state import ExpertState, new_state

log = logging.getLogger(__name__)

PASS_TOKENS_MAX = 1024
"""tokens whose activations exist at once: large enough for full speed of the matrix products, small in memory"""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class StepReport:
    """loss: summed over units, which are answer tokens or opinions; tokens: of the rows, also where they share some."""

    loss: float = 0.0
    units: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Score:
    """Teacher-forced scores: the mean loss of a unit, and the share of lessons that are right.

    A row is right when every answer token came first. Greedy decoding gives its answer exactly then, so `exact` needs no
    decoding. An opinion is right when training has moved the way that it points.
    """

    loss: float
    exact: float


@dataclass(frozen=True)
class Part:
    """Some lessons of an expert, their rows laid end to end."""

    name: str
    lessons: Sequence[Lesson]
    batch: Batch


@dataclass
class _Expert:
    """units: those whose gradients have been summed since the last step."""

    state: ExpertState
    optimizer: torch.optim.AdamW
    units: int = 0


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

    def forward_backward(self, work: Mapping[str, Sequence[Lesson]]) -> dict[str, StepReport]:
        """Add to each expert's gradient that of the summed loss of its lessons.

        Rows of several experts go through the base together, up to PASS_TOKENS_MAX tokens at a time. An expert whose
        loss is not finite shows it in its own report; the others' numbers are what they would be without it.
        """
        reports = dict.fromkeys(work, StepReport())
        cuts = [(name, some) for name, lessons in work.items() for some in cut(lessons, tokens_max=PASS_TOKENS_MAX)]
        cuts.sort(key=lambda one: self._is_plain(one[0]))
        for together in _passes((Part(name, some, make_batch(flat(some))) for name, some in cuts), self._is_plain):
            for part, verdicts in zip(together, self._learn(together), strict=True):
                known, loss = reports[part.name], sum(verdict.loss for verdict in verdicts)
                units = sum(lesson.units for lesson in part.lessons)
                reports[part.name] = StepReport(
                    known.loss + loss, known.units + units, known.tokens + part.batch.tokens
                )
        for name, report in reports.items():
            self._experts[name].units += report.units
        return reports

    def _learn(self, together: Sequence[Part]) -> list[list[Verdict]]:
        """One pass. How far each row's nll is to fall or rise is known when the losses are."""
        packed = Packed.of([(self._experts[part.name].state.seen, part.batch) for part in together])
        learning = self._pass_of(together[0].name).learn(packed)
        tally = learning.tally
        verdicts = [
            judged(part.lessons, part.batch, tally.nll[segment.answers], tally.correct[segment.answers])
            for part, segment in zip(together, packed.segments, strict=True)
        ]
        learning.backward(
            torch.cat([_weights(part.batch, some) for part, some in zip(together, verdicts, strict=True)])
        )
        return verdicts

    def optim_step(self, name: str, *, learning_rate: float, clip: float = 1.0) -> float:
        """Apply the mean of the gradients of the units seen since the last step; returns its norm before clipping.

        Raises TrainingError for a gradient that is not finite, and then the expert stays as it was.
        """
        expert = self._experts[name]
        expert.state.collect()
        gradient = expert.state.grad.div_(expert.units)
        norm = float(gradient.norm())
        if not math.isfinite(norm):
            raise _no_number(learning_rate)
        if norm > clip:
            gradient.mul_(clip / norm)
        expert.optimizer.param_groups[0]["lr"] = learning_rate
        expert.optimizer.step()
        gradient.zero_()
        expert.units = 0
        expert.state.refresh()
        return norm

    def score(self, name: str, batches: Sequence[Sequence[Lesson]]) -> Score:
        """Loss and right lessons over batches of them."""
        lessons = [lesson for batch in batches for lesson in batch]
        verdicts = [lesson.judge(seen) for lesson, seen in zip(lessons, self.read(name, batches), strict=True)]
        loss, right = sum(verdict.loss for verdict in verdicts), sum(verdict.right for verdict in verdicts)
        return Score(loss / max(sum(lesson.units for lesson in lessons), 1), right / max(len(lessons), 1))

    def read(self, name: str, batches: Sequence[Sequence[Lesson]]) -> list[tuple[Seen, ...]]:
        """What the expert makes of each lesson's rows."""
        state, seen = self._experts[name].state, []
        for lessons in batches:
            batch = make_batch(flat(lessons))
            tally = self._pass_of(name).score(Packed.of([(state.seen, batch)]))
            seen += seen_of(lessons, batch, tally.nll, tally.correct)
        return seen

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
    for part in parts:
        tokens = sum(len(other.batch.ids) for other in (*group, part))
        apart = any(part.name == other.name or is_plain(part.name) != is_plain(other.name) for other in group)
        if group and (tokens > PASS_TOKENS_MAX or apart):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _weights(batch: Batch, verdicts: Sequence[Verdict]) -> Tensor:
    """By how much each answer token's nll counts: [answers] float32."""
    slopes = torch.tensor([slope for verdict in verdicts for slope in verdict.slopes])
    return slopes[batch.answer_row]


def _no_number(learning_rate: float) -> TrainingError:
    return TrainingError(
        "Training diverged: the gradient is no number any more.",
        fix=f"Give a learning rate below {learning_rate:g}, or leave it to be chosen.",
    )
