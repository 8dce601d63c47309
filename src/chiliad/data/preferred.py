"""The dataset of an expert that is to learn preferences: what is stated, divided, and examples of its job beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from chiliad.data.dataset import ROWS_MIN, Dataset, keep, named, require_enough
from chiliad.data.example import Example
from chiliad.data.preference import Preference, Preferences
from chiliad.data.split import Split, keys_shared, split, split_around
from chiliad.data.task import TaskKind, label_counts, task_kind
from chiliad.errors import UnusableData


def freeze_preferences(
    stated: Sequence[Preference],
    root: Path,
    *,
    test: Sequence[Preference] | None = None,
    beside: Dataset | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Write `assemble_preferences(...)` into a folder below `root`. Raises UnusableData, StoreError."""
    return keep(assemble_preferences(stated, test=test, beside=beside, source=source, instruction=instruction), root)


def assemble_preferences(
    stated: Sequence[Preference],
    *,
    test: Sequence[Preference] | None = None,
    beside: Dataset | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Divide preferences by content, as examples are divided; nothing is written.

    beside: the dataset of the expert which learns them: its examples stay, so that versions before and after compare, and
    what it is tested on is not learned. Preferences that it holds out already stay held out. Without it the chosen answers
    are the examples. Raises UnusableData for fewer than ROWS_MIN preferences, and for good or bad answers alone.
    """
    _require_both_sides(stated)
    parts = _divided(_different(stated), None if test is None else _different(test), beside)
    if beside is None:
        draft = _of_chosen(parts, source, instruction)
    else:
        draft = replace(beside, source=f"{beside.source} + {source}", instruction=instruction or beside.instruction)
    return named(replace(draft, preferences=parts))


def _different(stated: Sequence[Preference]) -> list[Preference]:
    return list({one.id: one for one in stated}.values())


def _divided(stated: list[Preference], test: Sequence[Preference] | None, beside: Dataset | None) -> Preferences:
    known = beside.preferences if beside else None
    held = test if test is not None else known.test if known else None
    tested = keys_shared((one.place for one in stated), beside.test) if beside else frozenset()
    free = [one for one in stated if one.key not in tested]
    _require_enough(free, len(stated))
    by_side = not any(one.is_pair for one in free)
    places = [one.place for one in free]
    parts = (
        split(places, by_answer=by_side)
        if held is None
        else split_around(places, [one.place for one in held], by_answer=by_side)
    )
    return _back(parts, [*free, *(held or ())])


def _back(parts: Split, stated: Iterable[Preference]) -> Preferences:
    of = {one.id: one for one in stated}
    train, dev, test = (tuple(of[place.id] for place in part) for part in (parts.train, parts.dev, parts.test))
    return Preferences(train, dev, test)


def _of_chosen(parts: Preferences, source: str, instruction: str | None) -> Dataset:
    train, dev, test = (_examples(part) for part in (parts.train, parts.dev, parts.test))
    rows = [*train, *dev, *test]
    require_enough(rows, " among the chosen")
    if not test:
        raise UnusableData(
            "No answer that is held out is a good one, so there is nothing to test by.",
            fix="Add answers that were rated good, or begin with an expert that has learned the job (--from).",
        )
    kind = task_kind(rows)
    labels = tuple(sorted(label_counts([*train, *dev]))) if kind is TaskKind.LABELS else ()
    return Dataset("", kind, labels, train, dev, test, instruction, source)


def _examples(part: Iterable[Preference]) -> tuple[Example, ...]:
    found = {one.example.id: one.example for one in part if one.example}
    return tuple(sorted(found.values(), key=lambda example: example.id))


def _require_both_sides(stated: Sequence[Preference]) -> None:
    good, bad = sum(one.chosen is not None for one in stated), sum(one.rejected is not None for one in stated)
    if good and not bad:
        raise UnusableData(
            f"All {good} answers are rated good, so nothing says what is better than what.",
            fix="Add answers that were rated bad, or learn the good ones as examples: --method supervised.",
        )
    if bad and not good:
        raise UnusableData(
            f"All {bad} answers are rated bad, so nothing says what is better than what.",
            fix="Add answers that were rated good.",
        )


def _require_enough(free: Sequence[Preference], stated: int) -> None:
    if len(free) < ROWS_MIN:
        beside = f" Of {stated}, {stated - len(free)} are about prompts that the expert is tested on." * (
            stated > len(free)
        )
        raise UnusableData(
            f"There are {len(free)} different preferences to learn and to test by.{beside}",
            fix=f"Add some: at least {ROWS_MIN} are needed, and 200 or more teach better.",
        )
