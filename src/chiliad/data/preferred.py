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
    before: Preferences | None = None,
    beside: Dataset | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Write `assemble_preferences(...)` into a folder below `root`. Raises UnusableData, StoreError."""
    dataset = assemble_preferences(
        stated, test=test, before=before, beside=beside, source=source, instruction=instruction
    )
    return keep(dataset, root)


def assemble_preferences(
    stated: Sequence[Preference],
    *,
    test: Sequence[Preference] | None = None,
    before: Preferences | None = None,
    beside: Dataset | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Divide preferences by content, as examples are divided; nothing is written.

    test: what is held out, instead of a part of `stated`. before: those of an earlier version; what was held out then is
    never learned, and what was for development stays so. beside: the dataset of the expert which learns them: its examples
    stay, so that versions before and after compare, and what it is tested on is not learned. Without it the chosen answers
    are the examples. Raises UnusableData for fewer than ROWS_MIN preferences, and for good or bad answers alone.
    """
    _require_both_sides(stated)
    examined = beside.test if beside else ()
    parts = _divided(_different(stated), None if test is None else _different(test), before, examined)
    if beside is None:
        draft = _of_chosen(parts, source, instruction)
    else:
        draft = replace(beside, source=f"{beside.source} + {source}", instruction=instruction or beside.instruction)
    return named(replace(draft, preferences=parts))


def _different(stated: Sequence[Preference]) -> list[Preference]:
    return list({one.id: one for one in stated}.values())


def _divided(
    stated: list[Preference], test: Sequence[Preference] | None, before: Preferences | None, examined: Iterable[Example]
) -> Preferences:
    usable = _apart(stated, examined)
    _require_enough(usable, len(stated))
    free = _apart(usable, _places(before.test)) if before else usable
    places, by_side = _places(free), not any(one.is_pair for one in free)
    if test is None:
        return _back(split(places, by_answer=by_side), free)
    parts = split_around(places, _places(test), dev=_places(before.dev) if before else (), by_answer=by_side)
    return _back(parts, [*free, *test])


def _apart(stated: list[Preference], held: Iterable[Example]) -> list[Preference]:
    """Those that share no prompt and no group with what is held out."""
    shared = keys_shared(_places(stated), held)
    return [one for one in stated if one.key not in shared]


def _places(some: Iterable[Preference]) -> list[Example]:
    return [one.place for one in some]


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
