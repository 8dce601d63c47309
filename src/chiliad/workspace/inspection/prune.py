"""A version of smaller rank, made from another one without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chiliad.adapters.spectrum as spectrum
from chiliad.adapters import LoraAdapter
from chiliad.errors import RegistryError
from chiliad.workspace.derived import write_derived
from chiliad.workspace.expert import Expert
from chiliad.workspace.gating import gated
from chiliad.workspace.lineage import learned_before
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import prove_and_keep

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


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
    told = {"rank": rank, "alpha": shape.alpha, "pruned_from_rank": adapter.rank}
    smaller = workspace.expert(write_derived(workspace, expert, shape, factors, told))
    if baselines:
        learned = learned_before(workspace, smaller.version)
        prove_and_keep(smaller, workspace.own_dataset(smaller), workspace.embedder, reporter, learned_before=learned)
    return gated(workspace, smaller, reporter)
