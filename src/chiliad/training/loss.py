"""Cross-entropy at answer positions only, with its gradient made in the forward pass.

The vocabulary is the widest matrix of a small model, so logits exist for answer tokens alone and for few of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from chiliad.kernels import cross_entropy_

CHUNK = 256  # answer tokens whose logits exist at once: 25 MB in bfloat16 for 49,152 words


@dataclass
class LossTally:
    """What the loss saw besides its value. nll: [answers] float32; correct: [answers] bool, the target came first."""

    nll: Tensor
    correct: Tensor


@dataclass(frozen=True)
class Learning:
    """A pass halfway: its losses are known. `backward` may be called once, before the next pass: it adds the gradient of
    the sum of weights * nll, both [answers] float32, to the experts'."""

    tally: LossTally
    backward: Callable[[Tensor], None]


def answer_loss(hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, LossTally]:
    """-log p(target) of [answers, hidden] rows, and the tally. Keeps a gradient for `hidden` if it needs one."""
    tally = LossTally(torch.empty(len(targets)), torch.empty(len(targets), dtype=torch.bool))
    return cast(Tensor, _AnswerLoss.apply(hidden, head, targets, tally)), tally  # type: ignore[no-untyped-call]


class _AnswerLoss(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, tally: LossTally) -> Tensor:
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            outcome = cross_entropy_(F.linear(hidden[part], head), targets[part], slope=grad is not None)
            tally.nll[part], tally.correct[part] = outcome.nll, outcome.correct
            if grad is not None and outcome.slope is not None:
                torch.mm(outcome.slope, head, out=grad[part])
        ctx.grad = grad
        return tally.nll.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return (ctx.grad * grad.unsqueeze(1)).to(ctx.grad.dtype), None, None, None
