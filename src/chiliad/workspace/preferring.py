"""What is to be done with preferences: which expert learns them, and what it is tested by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from chiliad.base import DEFAULT_BASE
from chiliad.data import (
    Dataset,
    Preference,
    Preferences,
    Table,
    assemble,
    assemble_preferences,
    freeze_preferences,
    states_preferences,
    to_preferences,
)
from chiliad.errors import UnusableData, WrongBase
from chiliad.registry import ExpertVersion
from chiliad.training import Method
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.freezing import learned_by, refuse_learned
from chiliad.workspace.gating import live_version
from chiliad.workspace.given import Data, examples_of, table_of
from chiliad.workspace.lineage import known_lineage
from chiliad.workspace.opinions import method_for
from chiliad.workspace.options import TrainOptions

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


def to_prefer(table: Table, options: TrainOptions, *, columns_named: bool) -> bool:
    """Whether a table is to be learned as preferences: it states some, unless it is said how it is to be learned."""
    if options.method is None:
        return not columns_named and states_preferences(table)
    return options.method is not Method.SUPERVISED


def drafted(
    workspace: Workspace,
    name: str,
    data: Data,
    *,
    test: Data | None = None,
    input: str | Sequence[str] | None = None,  # noqa: A002 - the word for it everywhere
    output: str | None = None,
    group: str | None = None,
    instruction: str | None = None,
    base: str,
    options: TrainOptions,
    parent: ExpertVersion | None = None,
) -> Assignment:
    """What `Workspace.assign` would make of it, as far as can be told without looking at what was learned before; nothing is
    written. Raises DataError."""
    table = table_of(data)
    if to_prefer(table, options, columns_named=bool(input or output)):
        live = live_version(workspace.registry, name)
        stated, start = to_preferences(table, group=group), parent or live
        earlier = _earlier(workspace, live, start)
        dataset = assemble_preferences(
            stated,
            test=_held_out(earlier, _held(test, group), start),
            before=earlier.preferences,
            beside=_beside(workspace, live or start),
            source=table.source,
            instruction=instruction,
        )
        return Assignment(name, dataset, start.base_id if start else base, options, None, start)
    tests = None if test is None else examples_of(test, input, output, group)[1]
    columns, examples = examples_of(table, input, output, group)
    dataset = assemble(examples, test=tests, source=table.source, instruction=instruction)
    return Assignment(name, dataset, base, options, columns, parent)


def preferred(
    workspace: Workspace,
    name: str,
    data: Table,
    test: Data | None,
    group: str | None,
    instruction: str | None,
    base: str,
    options: TrainOptions,
    parent: ExpertVersion | None,
) -> Assignment:
    """Read, check and freeze preferences for the next version of `name`.

    Training starts from `parent`, from the live version without one, and from the base without that. Raises DataError,
    WrongBase, StoreError.
    """
    start = parent or live_version(workspace.registry, name)
    if start is not None and base not in (DEFAULT_BASE, start.base_id):
        raise WrongBase(
            f"{start.ref}, from which training is to start, is an expert of the base {start.base_id}, not of {base}.",
            fix="Leave out the base, or give the expert another name to start from the base.",
        )
    return assign_preferences(
        workspace,
        name,
        to_preferences(data, group=group),
        tests=_held(test, group),
        source=data.source,
        instruction=instruction,
        base=start.base_id if start else base,
        options=options,
        start=start,
    )


def assign_preferences(
    workspace: Workspace,
    name: str,
    stated: Sequence[Preference],
    *,
    tests: Sequence[Preference] | None = None,
    source: str,
    instruction: str | None = None,
    base: str,
    options: TrainOptions,
    start: ExpertVersion | None,
) -> Assignment:
    """The same with preferences that were read already, to start from a version of that base or the base itself.

    What the live version is tested on stays the test; without one, what `start` is tested on. Preferences that were held
    out before stay so: they are the test if no other is given. What `start` has learned of them is none.
    """
    live = live_version(workspace.registry, name)
    beside = _beside(workspace, live or start)
    if live and beside and start and start.ref != live.ref:
        refuse_learned(beside, learned_by(workspace, start), name)
    workspace.served(base)  # an unknown base is told before anything is written
    earlier = _earlier(workspace, live, start)
    dataset = freeze_preferences(
        stated,
        workspace.folder / "datasets",
        test=_held_out(earlier, tests, start),
        before=earlier.preferences,
        beside=beside,
        source=source,
        instruction=instruction,
    )
    assert dataset.preferences is not None
    chosen = replace(options, method=method_for(dataset.preferences, options))
    return Assignment(name, dataset, base, chosen, None, start)


def _held(test: Data | None, group: str | None) -> list[Preference] | None:
    return None if test is None else to_preferences(table_of(test), group=group)


def _beside(workspace: Workspace, version: ExpertVersion | None) -> Dataset | None:
    """What a version was trained and tested on, if that is known."""
    return workspace.dataset(version.dataset_hash) if version and version.dataset_hash else None


@dataclass(frozen=True)
class _Earlier:
    """preferences: the last ones that were divided before, for the live version or where training starts; learned: the
    prompts of those that this start has learned."""

    preferences: Preferences | None
    learned: frozenset[str]


def _earlier(workspace: Workspace, live: ExpertVersion | None, start: ExpertVersion | None) -> _Earlier:
    """Versions in between may have learned other things, such as corrections; imported ones don't say what they learned."""
    behind = [dataset.preferences for dataset in known_lineage(workspace, start) if dataset.preferences]
    of_live = (dataset.preferences for dataset in known_lineage(workspace, live) if dataset.preferences)
    learned = frozenset(one.key for parts in behind for one in (*parts.train, *parts.dev))
    return _Earlier(next(chain(of_live, behind), None), learned)


def _held_out(
    earlier: _Earlier, tests: Sequence[Preference] | None, start: ExpertVersion | None
) -> list[Preference] | None:
    """Those that are given, or were held out before, but for what was learned. None: there are none yet."""
    if tests is None and earlier.preferences:
        tests = earlier.preferences.test
    left = None if tests is None else [one for one in tests if one.key not in earlier.learned]
    if tests and not left:
        assert start is not None, "without a start nothing was learned"
        raise UnusableData(
            f"{start.ref} has learned every preference that is to be held out.",
            fix="Give others to test by (--test), or continue from another version.",
        )
    return left
