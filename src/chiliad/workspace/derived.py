"""A version that is made of another one's numbers, without training: pruned, or compressed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chiliad.adapters import AdapterShape, Factors, save_adapter
from chiliad.registry import ExpertRef
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.workspace.assignment import base_precision_of
from chiliad.workspace.expert import Expert
from chiliad.workspace.lessons import TEMPLATE_FILE

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

_OF_ONE_TRAINING = ("run", RECORDED_AS)
"""what names the very training that made a version, and no other"""


def write_derived(
    workspace: Workspace, expert: Expert, shape: AdapterShape, factors: Factors, told: Mapping[str, Any]
) -> ExpertRef:
    """Write the next version of an expert, not live, for the base and the prompts of this one.

    `told` is what it says of itself beside what this one's training says; None leaves something out.
    """
    version = expert.version
    training = {**version.training, **dict.fromkeys(_OF_ONE_TRAINING), **told}
    facts = replace(
        version.facts,
        parent=version.number,
        training={name: value for name, value in training.items() if value is not None},
    )
    with workspace.registry.write_version(version.name, facts) as draft:
        save_adapter(
            draft.folder,
            shape,
            factors,
            base_id=version.base_id,
            base_fingerprint=version.base_fingerprint,
            base_precision=base_precision_of(version),
        )
        if (expert.folder / TEMPLATE_FILE).is_file():
            shutil.copyfile(expert.folder / TEMPLATE_FILE, draft.folder / TEMPLATE_FILE)
    return draft.ref
