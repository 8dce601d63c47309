"""A version of smaller rank, made from another one without training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import chiliad.adapters.spectrum as spectrum
from chiliad.adapters import LoraAdapter, save_adapter
from chiliad.errors import RegistryError
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.workspace.expert import Expert
from chiliad.workspace.gating import gated
from chiliad.workspace.lessons import TEMPLATE_FILE
from chiliad.workspace.lineage import learned_before
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import prove_and_keep

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

_OF_THE_TRAINING = ("run", RECORDED_AS)
"""what names the very training that made a version, and no other"""


def pruned_version(workspace: Workspace, expert: Expert, rank: int, reporter: Reporter, *, baselines: bool) -> Expert:
    """Write the closest adapter of a smaller rank as the next version, with its card if `baselines`, and gate it.

    Raises RegistryError for a rank that is not smaller; `refusal` of what is returned says why it is not live, if it is not.
    """
    adapter = expert.served.adapter_in(expert.folder)
    if not isinstance(adapter, LoraAdapter):
        raise RegistryError(f"{expert.ref} is no LoRA: it is small already.", fix="Leave it as it is.")
    if not 1 <= rank < adapter.rank:
        raise RegistryError(
            f"{expert.ref} has rank {adapter.rank}; rank {rank} is not smaller.",
            fix=f"Give a rank from 1 to {adapter.rank - 1}." if adapter.rank > 1 else "Leave it as it is.",
        )
    shape, factors = spectrum.pruned(adapter, rank)
    version = expert.version
    told = {name: value for name, value in version.training.items() if name not in _OF_THE_TRAINING}
    training = {**told, "rank": rank, "alpha": shape.alpha, "pruned_from_rank": adapter.rank}
    facts = replace(version.facts, parent=version.number, training=training)
    with workspace.registry.write_version(version.name, facts) as draft:
        save_adapter(draft.folder, shape, factors, base_id=version.base_id, base_fingerprint=version.base_fingerprint)
        if (expert.folder / TEMPLATE_FILE).is_file():
            shutil.copyfile(expert.folder / TEMPLATE_FILE, draft.folder / TEMPLATE_FILE)
    smaller = workspace.expert(draft.ref)
    if baselines:
        learned = learned_before(workspace, smaller.version)
        prove_and_keep(smaller, workspace.own_dataset(smaller), workspace.embedder, reporter, learned_before=learned)
    return gated(workspace, smaller, reporter)
