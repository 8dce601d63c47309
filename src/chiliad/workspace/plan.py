"""What a training would do, before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from chiliad.config import Precision
from chiliad.training import Lesson, Method, Recipe, Trainer
from chiliad.training.rows import epoch_batches, flat
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.lessons import basis_for, recipe_for
from chiliad.workspace.opinions import lessons_for
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def plan(workspace: Workspace, assignment: Assignment) -> str:
    """Rows, tokens, settings and time; the speed is measured on one batch of these very rows. Writes nothing.

    Raises DataError, NotServed, TrainingError.
    """
    dataset, options, served = assignment.dataset, assignment.options, workspace.served(assignment.base)
    lessons = lessons_for(dataset, served, served.expert_template, served.context_max, options)
    parent, precision = assignment.parent, assignment.base_precision
    recipe = recipe_for(lessons, options, served.adapter_in(workspace.registry.folder(parent.ref)) if parent else None)
    served.require_served(recipe)
    speed = training_speed(served, precision, {"probe": (recipe, lessons.train)})
    tokens, parts = sum(len(row.ids) for row in flat(lessons.train)), dataset.preferences or dataset
    rows = "Rows     " if lessons.method is Method.SUPERVISED else f"{lessons.method.upper():<9}"
    skipped = f", {lessons.skipped} too long" if lessons.skipped else ""
    return "\n".join(
        (
            f"{rows} {len(parts.train)} for training{skipped}, {len(parts.dev)} dev, {len(parts.test)} test",
            f"Answers   {dataset.kind}" + (f", {len(dataset.labels)} labels" if dataset.labels else ""),
            f"Settings  {recipe.adapter_text}, at most {recipe.epochs} epochs, {recipe.rows_per_batch} rows a batch, "
            f"learning rate {recipe.learning_rate:g}, base in {precision}",
            f"Tokens    {tokens} an epoch, {tokens * recipe.epochs} at most",
            f"Time      about {tokens * recipe.epochs / speed / 60:.1f} min at {speed:.0f} tokens/s, plus evaluation",
            "Nothing was written.",
        )
    )


def training_speed(
    served: ServedBase, precision: Precision, experts: Mapping[str, tuple[Recipe, Sequence[Lesson]]]
) -> float:
    """Tokens a second, measured on one step of each of these experts, taken together. Raises TrainingError."""
    trainer, work = Trainer(served.model_in(precision)), {}
    for name, (recipe, lessons) in experts.items():
        trainer.add(name, recipe.shape(basis_for(recipe, served)), seed=0)
        limits = {"rows_per_batch": recipe.rows_per_batch, "tokens_max": recipe.batch_tokens_max}
        work[name] = flat(epoch_batches(lessons, **limits, seed=0)[0])
    trainer.forward_backward(work)  # the first use of memory is slow
    started = perf_counter()
    reports = trainer.forward_backward(work)
    for name, (recipe, _) in experts.items():
        trainer.optim_step(name, learning_rate=recipe.learning_rate)
    return sum(report.tokens for report in reports.values()) / (perf_counter() - started)
