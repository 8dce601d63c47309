"""What a training would do, before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from chiliad.data import Example, assemble
from chiliad.training import Trainer
from chiliad.training.rows import epoch_batches
from chiliad.workspace.lessons import make_lessons, recipe_for
from chiliad.workspace.options import TrainOptions

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
    batch = epoch_batches(
        lessons.train, rows_per_batch=recipe.rows_per_batch, tokens_max=recipe.batch_tokens_max, seed=0
    )[0]
    trainer = Trainer(served.model)
    trainer.add("probe", recipe.shape, seed=0)
    trainer.forward_backward({"probe": batch})
    started = perf_counter()
    speed = trainer.forward_backward({"probe": batch})["probe"].tokens / (perf_counter() - started)
    tokens = sum(len(row.ids) for row in lessons.train)
    skipped = f", {lessons.skipped} too long" if lessons.skipped else ""
    return "\n".join(
        (
            f"Rows      {len(dataset.train)} for training{skipped}, {len(dataset.dev)} dev, {len(dataset.test)} test",
            f"Answers   {dataset.kind}" + (f", {len(dataset.labels)} labels" if dataset.labels else ""),
            f"Settings  rank {recipe.rank}, at most {recipe.epochs} epochs, {recipe.rows_per_batch} rows a batch, "
            f"learning rate {recipe.learning_rate:g}",
            f"Tokens    {tokens} an epoch, {tokens * recipe.epochs} at most",
            f"Time      about {tokens * recipe.epochs / speed / 60:.1f} min at {speed:.0f} tokens/s, plus evaluation",
            "Nothing was written.",
        )
    )
