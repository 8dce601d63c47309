"""What a training would do, before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from chiliad.config import Precision
from chiliad.data import Example, assemble
from chiliad.training import Recipe, Row, Trainer
from chiliad.training.rows import epoch_batches
from chiliad.workspace.lessons import basis_for, make_lessons, recipe_for
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def plan(
    workspace: Workspace, rows: Sequence[Example], tests: Sequence[Example] | None, base: str, options: TrainOptions
) -> str:
    """Rows, tokens, settings and time; the speed is measured on one batch of these very rows. Writes nothing."""
    dataset = assemble(rows, test=tests, source="")
    served = workspace.served(base)
    lessons = make_lessons(dataset, served, served.expert_template, workspace.settings.engine.context_max)
    recipe = recipe_for(lessons, options)
    precision = options.base_precision or Precision.BF16
    speed = training_speed(served, precision, {"probe": (recipe, lessons.train)})
    tokens = sum(len(row.ids) for row in lessons.train)
    skipped = f", {lessons.skipped} too long" if lessons.skipped else ""
    return "\n".join(
        (
            f"Rows      {len(dataset.train)} for training{skipped}, {len(dataset.dev)} dev, {len(dataset.test)} test",
            f"Answers   {dataset.kind}" + (f", {len(dataset.labels)} labels" if dataset.labels else ""),
            f"Settings  {recipe.adapter_text}, at most {recipe.epochs} epochs, {recipe.rows_per_batch} rows a batch, "
            f"learning rate {recipe.learning_rate:g}, base in {precision}",
            f"Tokens    {tokens} an epoch, {tokens * recipe.epochs} at most",
            f"Time      about {tokens * recipe.epochs / speed / 60:.1f} min at {speed:.0f} tokens/s, plus evaluation",
            "Nothing was written.",
        )
    )


def training_speed(
    served: ServedBase, precision: Precision, experts: Mapping[str, tuple[Recipe, Sequence[Row]]]
) -> float:
    """Tokens a second, measured on one step of each of these experts, taken together. Raises TrainingError."""
    trainer, work = Trainer(served.model_in(precision)), {}
    for name, (recipe, rows) in experts.items():
        trainer.add(name, recipe.shape(basis_for(recipe, served)), seed=0)
        limits = {"rows_per_batch": recipe.rows_per_batch, "tokens_max": recipe.batch_tokens_max}
        work[name] = epoch_batches(rows, **limits, seed=0)[0]
    trainer.forward_backward(work)  # the first use of memory is slow
    started = perf_counter()
    reports = trainer.forward_backward(work)
    for name, (recipe, _) in experts.items():
        trainer.optim_step(name, learning_rate=recipe.learning_rate)
    return sum(report.tokens for report in reports.values()) / (perf_counter() - started)
