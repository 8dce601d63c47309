"""From a dataset to token rows and a course for the trainer, and from what it returns to files and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chiliad.adapters import (
    Adapter,
    AdapterKind,
    Basis,
    CoreAdapter,
    LoraAdapter,
    PrefixAdapter,
    kind_of,
    save_adapter,
)
from chiliad.base import ChatTemplate
from chiliad.config import Precision
from chiliad.data import Dataset, Example, TaskKind
from chiliad.errors import UnusableData
from chiliad.evals.wording import AGREED
from chiliad.ledger import MachinePrice
from chiliad.registry import DatasetHash, ExpertFacts
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.training import Agreement, Course, FitResult, Lesson, Method, Opinion, Recipe, Row, choose_recipe
from chiliad.training.recipe import BETA
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.machine import machine
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.served_base import ServedBase, turns_of

TEMPLATE_FILE = "chat_template.jinja"
CONTINUED_FROM = "continued_from"
"""the field of a version's `training` with the version whose rows it has learned besides its own"""
CORRECTION_WEIGHT = 4
"""ordinary rows that one correction counts for: it is rare, deliberate, and contradicts what the expert would say"""
CONTINUED_EPOCHS = 3
"""of a training that continues from an earlier version with some rows added"""


@dataclass(frozen=True)
class Lessons:
    """Rows or opinions that fit into the base's context. rows: different ones to learn; skipped: those that don't fit."""

    train: Sequence[Lesson]
    """a correction stands in it as often as it weighs"""
    dev: Sequence[Lesson]
    rows: int
    skipped: int
    method: Method = Method.SUPERVISED
    test: Sequence[Opinion] = ()
    """opinions that are held out"""


def make_lessons(
    dataset: Dataset,
    served: ServedBase,
    template: ChatTemplate,
    tokens_max: int,
    corrections: Sequence[Example] = (),
) -> Lessons:
    """Tokenise a dataset; those among `corrections` count CORRECTION_WEIGHT times.

    Raises UnusableData when no training row fits.
    """
    corrected = {example.id for example in corrections}
    rows = [(row_of(example, served, template), example.id in corrected) for example in dataset.train]
    dev = [row_of(example, served, template) for example in dataset.dev]
    fitting = [(row, weighs) for row, weighs in rows if len(row.ids) <= tokens_max]
    if not fitting:
        raise UnusableData(
            f"Every training row is longer than {tokens_max} tokens.", fix="Shorten the inputs, or split them up."
        )
    train = [row for row, weighs in fitting for _ in range(CORRECTION_WEIGHT if weighs else 1)]
    return Lessons(train, [row for row in dev if len(row.ids) <= tokens_max], len(fitting), len(rows) - len(fitting))


def course_of(
    assignment: Assignment,
    served: ServedBase,
    lessons: Lessons,
    recipe: Recipe,
    folder: Path,
    parent: Adapter | None = None,
) -> Course:
    """What the trainer is given; a run with the same rows and settings that was killed in `folder` is continued."""
    whole = assignment.base_precision is Precision.BF16
    return Course(
        assignment.name,
        lessons.train,
        lessons.dev,
        recipe,
        by_exact=lessons.method is Method.SUPERVISED and assignment.dataset.kind is TaskKind.LABELS,
        folder=folder,
        start=parent.unscaled() if parent else None,
        base=served.base.fingerprint + ("" if whole else f" in {assignment.base_precision}"),
        basis=basis_for(recipe, served, parent),
        test=lessons.test,
    )


def basis_for(recipe: Recipe, served: ServedBase, parent: Adapter | None = None) -> Basis | None:
    """The basis between whose halves an expert of the kind shared-basis has its cores: its parent's, or the base's own."""
    if recipe.kind is not AdapterKind.SHARED_BASIS:
        return None
    return parent.basis if isinstance(parent, CoreAdapter) else served.shared_basis(recipe.rank)


def recipe_for(lessons: Lessons, options: TrainOptions, parent: Adapter | None = None) -> Recipe:
    """What the user chose, and the rest from the data. Continuing from `parent` keeps its shape and takes few epochs."""
    recipe = choose_recipe(
        len(lessons.train),
        kind=kind_of(parent) if parent else options.kind,
        rank=options.rank if parent is None else parent.rank if isinstance(parent, LoraAdapter | CoreAdapter) else None,
        virtual_tokens=parent.shape.virtual_tokens if isinstance(parent, PrefixAdapter) else options.virtual_tokens,
        epochs=options.epochs or (CONTINUED_EPOCHS if parent else None),
        learning_rate=options.learning_rate,
        rslora=parent.shape.rslora if isinstance(parent, LoraAdapter) else options.rslora,
        seed=options.seed,
        opinions=lessons.method is not Method.SUPERVISED,
    )
    return replace(
        recipe,
        alpha=parent.shape.alpha if isinstance(parent, LoraAdapter) else recipe.alpha,
        learning_rate=recipe.learning_rate * options.learning_rate_multiplier,
        rows_per_batch=options.rows_per_batch or recipe.rows_per_batch,
    )


def write_files(
    folder: Path,
    served: ServedBase,
    template: ChatTemplate,
    recipe: Recipe,
    result: FitResult,
    precision: Precision,
) -> None:
    """Put the adapter and its prompt template into a version's folder."""
    save_adapter(
        folder,
        recipe.shape(result.basis),
        result.factors,
        base_id=served.base.id,
        base_fingerprint=served.base.fingerprint,
        base_precision=precision,
    )
    (folder / TEMPLATE_FILE).write_bytes(template.source.encode("utf-8"))


def facts_of(
    assignment: Assignment,
    served: ServedBase,
    lessons: Lessons,
    recipe: Recipe,
    result: FitResult,
    price: MachinePrice,
) -> ExpertFacts:
    """What the registry and the card record about a training, its cost at today's price among it."""
    dataset, columns, parent = assignment.dataset, assignment.columns, assignment.parent
    progress = result.progress
    training: dict[str, Any] = {
        "rows": lessons.rows,
        "rows_too_long": lessons.skipped,
        "epochs": progress.epochs_done,
        "steps": progress.step,
        "best_epoch": None if progress.best_epoch is None else progress.best_epoch + 1,
        **_adapter_facts(recipe),
        "base_precision": assignment.base_precision.value,
        "learning_rate": recipe.learning_rate,
        "rows_per_batch": recipe.rows_per_batch,
        "seed": recipe.seed,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 3),
        "cost": price.cost(progress.seconds),
        "currency": price.currency,
        "tokens_per_second": round(progress.tokens_per_second),
        "machine": machine(),
        "run": result.identity,
        "columns": {"inputs": columns.inputs, "output": columns.output} if columns and columns.output else None,
        "loss": progress.losses,
        "dev_loss": progress.dev_losses,
        "dev_exact": progress.dev_exact,
    }
    training |= _opinion_facts(lessons, assignment.options, result.agreement)
    learned_before = _learned_before(assignment)
    if learned_before:
        training[CONTINUED_FROM] = learned_before
    if assignment.fine_tuned_model:
        training[RECORDED_AS] = assignment.fine_tuned_model
    amended = assignment.corrections
    if amended:
        training["corrections"] = len(amended.used)
        training["corrections_left_out"] = {"of_test_rows": amended.of_test_rows, "blank": amended.blank}
        known = set(assignment.parent.choices) if assignment.parent else set()
        training["new_labels"] = sorted({example.answer for example in amended.used} - known) if known else []
    return ExpertFacts(
        base_id=served.base.id,
        base_fingerprint=served.base.fingerprint,
        kind=dataset.kind,
        choices=dataset.labels,
        instruction=dataset.instruction,
        dataset_hash=DatasetHash(dataset.hash),
        parent=parent.number if parent and parent.name == assignment.name else None,
        training=training,
    )


def _adapter_facts(recipe: Recipe) -> dict[str, Any]:
    """What says something about an adapter of this kind."""
    told: dict[str, Any] = {"adapter": recipe.kind.value}
    if recipe.kind is AdapterKind.PREFIX:
        told["virtual_tokens"] = recipe.virtual_tokens
    if recipe.kind in (AdapterKind.LORA, AdapterKind.SHARED_BASIS):
        told["rank"] = recipe.rank
    if recipe.kind is AdapterKind.LORA:
        told |= {"alpha": recipe.alpha, "rslora": recipe.rslora}
    return told


def _opinion_facts(lessons: Lessons, options: TrainOptions, agreement: Agreement | None) -> dict[str, Any]:
    """Nothing for what learned from examples."""
    if lessons.method is Method.SUPERVISED:
        return {}
    told: dict[str, Any] = {"method": lessons.method.value, "beta": options.beta or BETA}
    if agreement is not None:
        told |= {"preferences_held_out": agreement.opinions, "preference_loss": agreement.loss}
        told |= {AGREED: agreement.agreed}
        if agreement.likelier is not None:
            told |= {"chosen_likelier": agreement.likelier, "chosen_likelier_before": agreement.likelier_before}
    return told


def _learned_before(assignment: Assignment) -> str | None:
    """The version whose rows are not in the dataset. Corrections are among the examples of the version that they correct,
    but the preferences that it has learned are not."""
    parent = assignment.parent
    if parent is None or assignment.corrections is None or "method" in parent.training:
        return str(parent.ref) if parent else None
    earlier: str | None = parent.training.get(CONTINUED_FROM)
    return earlier


def row_of(example: Example, served: ServedBase, template: ChatTemplate) -> Row:
    prompt = served.prompt(template, turns_of(example.messages))
    return Row((*prompt, *served.answer_tokens(example.answer)), len(prompt))
