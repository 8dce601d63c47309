"""From what was trained to a pack: the experts, what each scored, and rows to try it on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chiliad.adapters import BasisFolder, CoreAdapter, load_adapter
from chiliad.errors import RegistryError
from chiliad.registry import ExpertVersion
from chiliad.registry.import_ import OWN_TO_A_WORKSPACE, TEMPLATE_FILE
from chiliad.registry.install import Installed, install_pack
from chiliad.registry.pack import PackWriter, Worth, new_pack, open_pack
from chiliad.registry.registry import utc_now
from chiliad.workspace.many.outcome import Outcome, Proof

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

KEPT_OF_TRAINING = (
    "rows",
    "epochs",
    "steps",
    "tokens",
    "seconds",
    "learning_rate",
    "rows_per_batch",
    "seed",
    "adapter",
)
"""what a pack tells of how an expert was made"""


@dataclass(frozen=True)
class Packed:
    """What was written."""

    experts: int
    bytes: int


def pack(workspace: Workspace, outcomes: Iterable[Outcome], out: Path, *, title: str, samples: int = 0) -> Packed:
    """Write the experts that came of a collection into one new file, each with its score.

    samples: test rows of each expert that go along, for everybody to read. Raises RegistryError if there is no expert or
    they are of several bases, StoreError if `out` exists.
    """
    made = [(outcome, _version(workspace, outcome)) for outcome in outcomes if outcome.made is not None]
    bases = {(version.base_id, version.base_fingerprint) for _, version in made}
    if len(bases) != 1:
        raise RegistryError(
            f"These experts are of {len(bases)} bases.", fix="Pack experts of one base, and at least one of them."
        )
    ((base_id, fingerprint),) = bases
    with new_pack(out) as writer:
        for outcome, version in made:
            _add(workspace, writer, outcome, version, samples)
        facts = writer.finish(title, base_id, fingerprint, utc_now())
    return Packed(facts.experts, out.stat().st_size)


def _version(workspace: Workspace, outcome: Outcome) -> ExpertVersion:
    assert outcome.made is not None
    return workspace.registry.get(f"{outcome.name}@{outcome.made.version}")


def _add(workspace: Workspace, writer: PackWriter, outcome: Outcome, version: ExpertVersion, samples: int) -> None:
    folder = workspace.registry.folder(version.ref)
    writer.add(
        version,
        folder,
        (folder / TEMPLATE_FILE).read_bytes(),
        family=outcome.family,
        training=_told(version),
        worth=_worth(outcome.proof) if outcome.proof else None,
        samples=_samples(workspace, version, samples),
    )
    bases = BasisFolder.of_version(folder)
    adapter = load_adapter(folder, basis=bases)
    if isinstance(adapter, CoreAdapter):
        writer.add_basis(bases.path(adapter.basis.hash))


def _told(version: ExpertVersion) -> dict[str, Any]:
    told = {key: version.training[key] for key in KEPT_OF_TRAINING if key in version.training}
    assert not told.keys() & set(OWN_TO_A_WORKSPACE)
    return {**told, "dataset": version.dataset_hash}


def _worth(proof: Proof) -> Worth:
    name, score = (proof.best.name, proof.best.score) if proof.best else (None, None)
    return Worth(proof.metric, proof.score, proof.rows, name, score)


def _samples(workspace: Workspace, version: ExpertVersion, number: int) -> tuple[tuple[str, str], ...]:
    if not number or version.dataset_hash is None:
        return ()
    tests = workspace.dataset(version.dataset_hash).test
    return tuple((example.input, example.answer) for example in tests[:number])


def install(workspace: Workspace, source: Path, *, base: str | None = None) -> Installed:
    """Make all experts of a pack live, see `install_pack`. base: its base, if that has another name here."""
    with open_pack(source) as found:
        served = workspace.served(base or found.facts.base_id)
    return install_pack(workspace.registry, source, served.base)
