"""The dataset of a version that is to be trained: what is tested was learned neither by it nor by what it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiliad.data import Dataset, Example, assemble, freeze, renew
from chiliad.data.dataset import ROWS_MIN
from chiliad.data.split import keys_shared
from chiliad.errors import UnusableData
from chiliad.registry import ExpertVersion
from chiliad.workspace.gating import live_version
from chiliad.workspace.lineage import lineage

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def frozen(
    workspace: Workspace,
    name: str,
    rows: list[Example],
    tests: list[Example] | None,
    *,
    source: str,
    instruction: str | None,
    parent: ExpertVersion | None,
) -> Dataset:
    """Freeze rows for the next version of `name`, whose training starts from `parent`.

    What the live version is tested on is never trained on, and what `parent` has learned never tested. Raises
    UnusableData, and StoreError.
    """
    live, root = live_version(workspace.registry, name), workspace.folder / "datasets"
    before = workspace.dataset(live.dataset_hash) if live and live.dataset_hash else None
    learned = learned_by(workspace, parent)
    if tests is not None:
        tests = _unlearned(tests, learned, parent)
    elif before is not None:
        refuse_learned(before, learned, name)
    elif parent is not None:
        tests = _new_tests(rows, learned, parent)
    if before is None:
        return freeze(rows, root, test=tests, source=source, instruction=instruction)
    if tests is None:
        return renew(before, rows, root, source=source, instruction=instruction)
    protected = keys_shared(rows, before.test)
    kept = [row for row in rows if row.key not in protected]
    return freeze(kept, root, test=tests, source=source, instruction=instruction)


def learned_by(workspace: Workspace, version: ExpertVersion | None) -> frozenset[str]:
    """The inputs that a version and those before it were trained on, or chosen by.

    Raises UnusableData where that is not known.
    """
    return frozenset(example.key for dataset in lineage(workspace, version) for example in dataset.learned)


def _new_tests(rows: list[Example], learned: frozenset[str], parent: ExpertVersion) -> list[Example]:
    """The test part of those rows that are new to the parent."""
    new = [row for row in rows if row.usable and row.key not in learned]
    if len(new) < ROWS_MIN:
        raise UnusableData(
            f"{len(new)} of {len(rows)} rows are new to {parent.ref}, which is too few to test on.",
            fix=f"Give at least {ROWS_MIN} rows that it has not learned, or test rows of their own.",
        )
    return list(assemble(new, source="").test)


def _unlearned(tests: list[Example], learned: frozenset[str], parent: ExpertVersion | None) -> list[Example]:
    left = [test for test in tests if test.key not in learned]
    if tests and not left:
        assert parent is not None, "without a parent nothing was learned"
        raise UnusableData(
            f"{parent.ref} has learned every row that is given as a test.", fix="Give test rows that are new to it."
        )
    return left


def refuse_learned(before: Dataset, learned: frozenset[str], name: str) -> None:
    """Raises UnusableData if what was learned is among the tests of `name`."""
    known = sum(example.key in learned for example in before.test)
    if known:
        raise UnusableData(
            f"What training is to continue from has learned {known} of the rows that {name} is tested on.",
            fix="Choose another name, or continue from a version of this expert.",
        )
