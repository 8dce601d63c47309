"""One expert trained by PEFT + transformers: the rows, batches, learning rates and choice of an epoch that our training has.

Its best setting on a processor: weights of the base in bf16, rows of like length in a batch, no attention mask, which rows
that are filled up at their ends don't need under causal attention, and logits at answer tokens only. What it trains is in
float32, PEFT's default and what ours does, and computed with in bf16 (autocast); or it is in bf16 altogether, which is a
little quicker and learns in fewer bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from chiliad.models import SITES
from chiliad.training import Recipe, Row, Score
from chiliad.training.rows import epoch_batches, scoring_batches
from chiliad.training.trainer import PASS_TOKENS_MAX
from chiliad.workspace.lessons import Lessons

CLIP = 1.0


@dataclass(frozen=True)
class Training:
    """What a training took. tokens: without padding; cells: with it; seconds: from a bare base to files on disk."""

    epochs: int
    tokens: int
    cells: int
    seconds: float

    @classmethod
    def of(cls, epochs: Sequence[Sequence[Sequence[Row]]], seconds: float) -> Training:
        """epochs: the batches of each that was trained."""
        batches = [batch for epoch in epochs for batch in epoch]
        tokens = sum(len(row.ids) - 1 for batch in batches for row in batch)
        cells = sum(len(batch) * (max(len(row.ids) for row in batch) - 1) for batch in batches)
        return cls(len(epochs), tokens, cells, seconds)


def read_base(folder: Path) -> Any:
    """The base as transformers has it."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    base.config.use_cache = False
    return base


def train(
    base: Any, lessons: Lessons, recipe: Recipe, folder: Path, *, by_exact: bool, dtype: torch.dtype = torch.float32
) -> Training:
    """Train an expert on `base`, which is bare again afterwards, and save it in `folder`.

    by_exact: as a `Course` has it; dtype: of what is trained.
    """
    started = time.perf_counter()
    pupil, rule = Pupil(base, recipe, dtype), DevRule(by_exact, len(lessons.dev))
    dev = scoring_batches(lessons.dev, tokens_max=PASS_TOKENS_MAX)
    epochs = [_batches(lessons.train, recipe, epoch) for epoch in range(recipe.epochs)]
    steps, taken = sum(map(len, epochs)), 0
    best, trained = pupil.weights(), []
    for batches in epochs:
        for rows in batches:
            pupil.step(rows, recipe.learning_rate_at(taken, steps))
            taken += 1
        trained.append(batches)
        if not dev or rule.keeps(pupil.score(dev)):
            best = pupil.weights()
        if rule.waited == recipe.patience:
            break
    pupil.leave(best, folder)
    return Training.of(trained, time.perf_counter() - started)


class Pupil:
    """An expert on a base that PEFT has changed in place."""

    def __init__(self, base: Any, recipe: Recipe, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(recipe.seed)
        config = LoraConfig(
            r=recipe.rank, lora_alpha=int(recipe.alpha), target_modules=list(SITES), task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(base, config, autocast_adapter_dtype=dtype is torch.float32).train()
        self._trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, weight_decay=recipe.weight_decay, fused=True)

    def step(self, rows: Sequence[Row], learning_rate: float) -> None:
        logits, targets, _ = self._answers(rows)
        cross_entropy(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(self._trained, CLIP)
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()

    @torch.no_grad()
    def score(self, batches: Sequence[Sequence[Row]]) -> Score:
        """What `Trainer.score` gives."""
        nll, answers, exact, rows = 0.0, 0, 0, 0
        for batch in batches:
            logits, targets, row = self._answers(batch)
            wrong = torch.zeros(len(batch)).index_add_(0, row, (logits.argmax(-1) != targets).float())
            nll, answers = nll + float(cross_entropy(logits, targets, reduction="sum")), answers + len(targets)
            exact, rows = exact + int((wrong == 0).sum()), rows + len(batch)
        return Score(nll / answers, exact / rows)

    def weights(self) -> list[Tensor]:
        return [weight.detach().clone() for weight in self._trained]

    def leave(self, weights: Sequence[Tensor], folder: Path) -> None:
        """Save these weights and give the base back."""
        with torch.no_grad():
            for weight, kept in zip(self._trained, weights, strict=True):
                weight.copy_(kept)
        self.model.save_pretrained(folder)
        self.model.unload()

    def _answers(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [answers, words] before each answer token of a padded batch, those tokens [answers], the row of each."""
        width = max(len(row.ids) for row in rows) - 1
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        predicts = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            length = len(row.ids) - 1
            ids[i, :length] = torch.tensor(row.ids[:-1])
            predicts[i, row.prompt_length - 1 : length] = True
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = self.model(input_ids=ids, logits_to_keep=predicts).logits
        targets = torch.tensor([token for row in rows for token in row.ids[row.prompt_length :]])
        return logits.float().flatten(end_dim=-2), targets, predicts.nonzero()[:, 0]


@dataclass
class DevRule:
    """Which epoch is kept, as in `chiliad.training.Run`: the latest within a standard error of the most exact answers, or
    the least dev loss. waited: epochs since the one that is kept."""

    by_exact: bool
    rows: int
    best: float = -math.inf
    waited: int = 0

    def keeps(self, score: Score) -> bool:
        """Whether the epoch with this score is the one to keep for now."""
        value = score.exact if self.by_exact else -score.loss
        self.best = max(self.best, value)
        doubt = math.sqrt(self.best * (1 - self.best) / self.rows) if self.by_exact else 0.0
        kept = value >= self.best - doubt
        self.waited = 0 if kept else self.waited + 1
        return kept


def _batches(rows: Sequence[Row], recipe: Recipe, epoch: int) -> list[list[Row]]:
    """In the order of our own training."""
    seed = recipe.seed * 1_000_003 + epoch
    return epoch_batches(rows, rows_per_batch=recipe.rows_per_batch, tokens_max=recipe.batch_tokens_max, seed=seed)
