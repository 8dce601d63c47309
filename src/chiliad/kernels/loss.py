"""Cross-entropy over a wide vocabulary, with its slope in the place of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for


@dataclass(frozen=True)
class CrossEntropy:
    """nll: [rows] float32; correct: [rows] bool, the target came first; slope: [rows, vocab], d nll / d logits."""

    nll: Tensor
    correct: Tensor
    slope: Tensor | None


def cross_entropy_(logits: Tensor, targets: Tensor, *, slope: bool) -> CrossEntropy:
    """logits: [rows, vocab], not to be used afterwards; targets: [rows]. float32 inside."""
    native = native_for(logits)
    if native is None:
        return plain_cross_entropy(logits, targets, slope=slope)
    targets = targets.to(torch.int64).contiguous()
    rows, vocab = logits.shape
    assert targets.shape == (rows,)
    nll, correct = torch.empty(rows), torch.empty(rows, dtype=torch.bool)
    native.cross_entropy(logits.data_ptr(), targets.data_ptr(), nll.data_ptr(), correct.data_ptr(), slope, rows, vocab)
    return CrossEntropy(nll, correct, logits if slope else None)


def plain_cross_entropy(logits: Tensor, targets: Tensor, *, slope: bool) -> CrossEntropy:
    wanted = targets.unsqueeze(1)
    top, best = logits.max(dim=-1, keepdim=True)
    scaled = torch.sub(logits, top.float())  # float32, largest 0
    of_target = scaled.gather(1, wanted)
    total = scaled.exp_().sum(dim=-1, keepdim=True)
    nll, correct = (total.log() - of_target).squeeze(1), (best == wanted).squeeze(1)
    if not slope:
        return CrossEntropy(nll, correct, None)
    chances = scaled.div_(total)
    chances.scatter_add_(1, wanted, torch.full_like(of_target, -1))
    return CrossEntropy(nll, correct, chances.to(logits.dtype))
