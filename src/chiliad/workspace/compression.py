"""LoRA experts of one base made into versions of the kind shared-basis, without training, with what it costs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chiliad.adapters import AdapterShape, CoreShape, Factors, LoraAdapter
from chiliad.adapters.compression import Compressed, compressed
from chiliad.errors import RegistryError
from chiliad.registry import ExpertRef
from chiliad.training import Row, Score, Trainer
from chiliad.training.rows import scoring_batches
from chiliad.training.trainer import PASS_TOKENS_MAX
from chiliad.workspace.derived import write_derived
from chiliad.workspace.expert import Expert
from chiliad.workspace.lessons import row_of
from chiliad.workspace.progress import Reporter

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


@dataclass(frozen=True)
class Compression:
    """What became of one expert. error: relative Frobenius norm of the difference of what they change; before, after:
    scores on its development rows, None if it has none."""

    source: ExpertRef
    version: ExpertRef
    error: float
    bytes_before: int
    bytes_after: int
    before: Score | None
    after: Score | None


def compress(workspace: Workspace, references: Sequence[str], rank: int, reporter: Reporter) -> list[Compression]:
    """Write a new version of each expert on one basis that fits them all. None of them becomes live by it.

    Raises RegistryError for an expert that is no LoRA or of another base than the first, BrokenAdapter for adapters that
    change different layers.
    """
    experts = [workspace.expert(reference) for reference in references]
    adapters = [_lora(expert, experts[0]) for expert in experts]
    reporter.stage("joint basis", 0, 0)
    joint = compressed(adapters, rank)
    experts[0].served.basis_folder.put(joint.basis)
    trainer = Trainer(experts[0].served.model)
    done = []
    for number, (expert, adapter) in enumerate(zip(experts, adapters, strict=True)):
        reporter.stage("experts", number, len(experts))
        done.append(_written(workspace, trainer, expert, adapter, joint, number))
    return done


def _lora(expert: Expert, first: Expert) -> LoraAdapter:
    adapter = expert.served.adapter_in(expert.folder)
    if not isinstance(adapter, LoraAdapter):
        raise RegistryError(f"{expert.ref} is no LoRA: it is small already.", fix="Leave it out.")
    if expert.served is not first.served:
        raise RegistryError(
            f"{expert.ref} and {first.ref} are of different bases.",
            fix="Compress the experts of each base on their own.",
        )
    return adapter


def _written(
    workspace: Workspace, trainer: Trainer, expert: Expert, adapter: LoraAdapter, joint: Compressed, number: int
) -> Compression:
    cores, shape = joint.cores[number], CoreShape(joint.basis)
    told = {
        "adapter": "shared-basis",
        "rank": shape.rank,
        "alpha": None,
        "rslora": None,
        "compressed_from": str(expert.ref),
        "compression_error": joint.errors[number],
    }
    version = write_derived(workspace, expert, shape, cores, told)
    rows = _dev_rows(workspace, expert)
    return Compression(
        source=expert.ref,
        version=version,
        error=joint.errors[number],
        bytes_before=adapter.bytes,
        bytes_after=2 * shape.numbers,
        before=_score(trainer, adapter.shape, adapter.unscaled(), rows),
        after=_score(trainer, shape, cores, rows),
    )


def _dev_rows(workspace: Workspace, expert: Expert) -> list[Row]:
    if expert.version.dataset_hash is None:
        return []
    rows = (row_of(example, expert.served, expert.template) for example in workspace.own_dataset(expert).dev)
    return [row for row in rows if len(row.ids) <= expert.served.context_max]


def _score(trainer: Trainer, shape: AdapterShape, factors: Factors, rows: Sequence[Row]) -> Score | None:
    if not rows:
        return None
    state = trainer.add("compressed", shape, seed=0)
    state.load(factors)
    try:
        return trainer.score("compressed", scoring_batches(rows, tokens_max=PASS_TOKENS_MAX))
    finally:
        trainer.remove("compressed")
