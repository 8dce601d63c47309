"""A dataset: examples, frozen and divided, in a folder that is named after their content.

<root>/<first 12 digits of the hash>/
    examples.jsonl   one example a line, as an OpenAI chat with its split: enough to rebuild the rest
    preferences.jsonl   what is learned in the place of the examples, if there are preferences, one a line
    dataset.json     hash, kind, labels, instruction, source and the number of rows in each part
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chiliad.data.example import Example, Message
from chiliad.data.preference import Preferences
from chiliad.data.split import DEV, TEST, TRAIN, Split, keys_shared, split, split_around
from chiliad.data.task import TaskKind, label_counts, may_be_label, task_kind
from chiliad.errors import UnreadableFile, UnusableData, VersionConflict
from chiliad.store.files import staged_folder

ROWS_MIN = 20
"""usable rows that differ: with fewer, a test is three answers long and says nothing"""
EXAMPLES_FILE = "examples.jsonl"
PREFERENCES_FILE = "preferences.jsonl"
ABOUT_FILE = "dataset.json"
_FORMAT = "chiliad-dataset-1"


@dataclass(frozen=True)
class Dataset:
    """Frozen examples. The hash covers the examples, their split, the instruction and the preferences, and nothing else.

    `preferences` are trained on in the place of the examples, which then say what the job is, and test it. `labels` is the
    closed set of answers in training and development, sorted, and empty unless `kind` is LABELS.
    `source` says where the examples were first read.
    """

    hash: str
    kind: TaskKind
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    instruction: str | None
    source: str
    preferences: Preferences | None = None

    @property
    def learned(self) -> tuple[Example, ...]:
        """What is trained on, or chosen by; the prompts of preferences among it."""
        stated = (*self.preferences.train, *self.preferences.dev) if self.preferences else ()
        return (*self.train, *self.dev, *(one.place for one in stated))

    @classmethod
    def load(cls, root: Path, hash: str) -> Dataset:  # noqa: A002  what the field is called
        """Read the dataset back, given at least 12 digits of its hash. Raises UnreadableFile: missing or changed."""
        folder = root / hash[:12]
        try:
            lines = (folder / EXAMPLES_FILE).read_bytes()
            stated = folder / PREFERENCES_FILE
            preferences = Preferences.from_lines(stated.read_bytes()) if stated.is_file() else None
            about = json.loads((folder / ABOUT_FILE).read_bytes())
            if not (
                _hash(lines, about["instruction"], preferences) == about["hash"] and about["hash"].startswith(hash)
            ):
                raise ValueError("its content does not belong to its hash")
            parts = _parsed(lines.decode())
            kind, labels = TaskKind(about["kind"]), tuple(about["labels"])
            train, dev, test = (parts[part] for part in (TRAIN, DEV, TEST))
            told = (about["instruction"], about["source"], preferences)
            return cls(about["hash"], kind, labels, train, dev, test, *told)
        except FileNotFoundError as error:
            raise UnreadableFile(
                f"There is no dataset {hash[:12]} in {root}.", fix="Freeze it again from its source file."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(
                f"The dataset in {folder} was changed or damaged: {error}.",
                fix="Remove that folder and freeze the dataset again from its source file.",
            ) from error


def freeze(
    examples: Sequence[Example],
    root: Path,
    *,
    test: Sequence[Example] | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Write `assemble(...)` into a folder below `root`, whole or not at all.

    The same content a second time, or at the same time in another process, gives the dataset that is there. Raises
    UnusableData, and StoreError when the disk does not take it.
    """
    return keep(assemble(examples, test=test, source=source, instruction=instruction), root)


@dataclass(frozen=True)
class Amended:
    """A dataset with corrections. Left out are those of test inputs, and those with a blank input or answer."""

    dataset: Dataset
    used: tuple[Example, ...]
    of_test_rows: int
    blank: int


def amend(dataset: Dataset, corrections: Sequence[Example], root: Path, *, source: str) -> Amended:
    """Freeze a dataset anew with corrections among its training rows; a corrected input loses its old answer.

    Development and test rows stay what they were, so that scores before and after compare; and a closed set of answers
    stays closed, however rare a corrected answer is, as long as it could be one of them. Raises UnusableData when no
    correction is left to use, and StoreError when the disk does not take it.
    """
    tested = {example.key for example in dataset.test}
    usable = [example for example in corrections if example.usable]
    used = {example.key: example for example in usable if example.key not in tested}
    if not used:
        raise UnusableData(
            f"Of {len(corrections)} corrections, {len(usable)} have an input and an answer, and all of those correct "
            "rows that the expert is tested on.",
            fix="Give corrections of other inputs: what an expert is tested on cannot be taught to it.",
        )
    train, dev = (
        tuple(example for example in part if example.key not in used) for part in (dataset.train, dataset.dev)
    )
    train = (*train, *used.values())
    still_closed = dataset.kind is TaskKind.LABELS and all(may_be_label(example.answer) for example in used.values())
    kind = TaskKind.LABELS if still_closed else _kind_of(dataset, [*train, *dev])
    frozen = keep(_with_rows(dataset, kind, train, dev, source, dataset.instruction), root)
    of_test_rows = sum(example.key in tested for example in usable)
    return Amended(frozen, tuple(used.values()), of_test_rows, len(corrections) - len(usable))


def renew(
    dataset: Dataset, examples: Sequence[Example], root: Path, *, source: str, instruction: str | None = None
) -> Dataset:
    """Freeze the next dataset of the same task, from a table that has grown or changed.

    The test rows stay, and rows that share an input or a group with one are left out; such rows of a development row join
    it. Everything else is for training: no row ever moves into a part that makes a score look better. The same table gives
    the same dataset. Raises UnusableData and StoreError.
    """
    usable = [example for example in examples if example.usable]
    tested = keys_shared(usable, dataset.test)
    rows = {example.id: example for example in usable if example.key not in tested}
    free = list(rows.values())
    require_enough(free, " beside the test rows of the live version")
    held = keys_shared(free, dataset.dev)
    train, dev = ([example for example in free if (example.key in held) is part] for part in (False, True))
    if not train:
        raise UnusableData(
            "All rows share an input or a group with a row that is held out for development.",
            fix="Add rows of other groups, use a finer group column, or give the expert another name.",
        )
    return keep(_with_rows(dataset, _kind_of(dataset, free), train, dev, source, instruction), root)


def thinned(dataset: Dataset, rows: int, *, draw: int) -> Dataset:
    """The dataset with only so many of its training rows; nothing is written.

    Every answer of a closed set keeps its share, as far as that is a whole row, and stays among the labels. Of one draw the
    smaller set is a part of the larger one; other draws, counted from 0, take other rows.
    """
    places: defaultdict[str, list[Example]] = defaultdict(list)
    for example in sorted(dataset.train, key=lambda one: hashlib.sha256(f"{draw} {one.id}".encode()).digest()):
        places[example.answer if dataset.kind is TaskKind.LABELS else ""].append(example)
    shares = [((place + 0.5) / len(same), one) for same in places.values() for place, one in enumerate(same)]
    kept = [one for _, one in sorted(shares, key=lambda share: (share[0], share[1].id))[:rows]]
    return named(replace(dataset, train=tuple(sorted(kept, key=lambda one: one.id)), preferences=None))


def _kind_of(dataset: Dataset, rows: Sequence[Example]) -> TaskKind:
    """Told from all rows, as when they were first divided: without those of the test, answers look rarer than they are.

    Beside a closed set, a test row whose answer nobody learns any more, or never did, says nothing.
    """
    known = {example.answer for example in rows}
    closed = dataset.kind is TaskKind.LABELS
    return task_kind([*rows, *(example for example in dataset.test if example.answer in known or not closed)])


def _with_rows(
    dataset: Dataset,
    kind: TaskKind,
    train: Sequence[Example],
    dev: Sequence[Example],
    source: str,
    instruction: str | None,
) -> Dataset:
    """The dataset with other rows to learn from, named by its new content."""
    draft = replace(
        dataset,
        kind=kind,
        labels=tuple(sorted(label_counts([*train, *dev]))) if kind is TaskKind.LABELS else (),
        train=tuple(sorted(train, key=lambda example: example.id)),
        dev=tuple(sorted(dev, key=lambda example: example.id)),
        instruction=instruction,
        source=source,
        preferences=None,
    )
    return named(draft)


def keep(dataset: Dataset, root: Path) -> Dataset:
    """Write a dataset that is named by its content. Raises StoreError."""
    folder = root / dataset.hash[:12]
    try:
        with staged_folder(folder) as stage:
            (stage / EXAMPLES_FILE).write_bytes(_lines(dataset))
            if dataset.preferences is not None:
                (stage / PREFERENCES_FILE).write_bytes(dataset.preferences.to_lines())
            (stage / ABOUT_FILE).write_text(json.dumps(_about(dataset), ensure_ascii=False, indent=2) + "\n", "utf-8")
    except VersionConflict:
        return Dataset.load(root, dataset.hash)
    return dataset


def assemble(
    examples: Sequence[Example],
    *,
    test: Sequence[Example] | None = None,
    source: str,
    instruction: str | None = None,
) -> Dataset:
    """Divide the usable examples and name them by their content; nothing is written.

    Given `test` rows are the test, and examples that share an input or group with them are left out. Raises
    UnusableData for fewer than ROWS_MIN usable rows, for a single answer, and for test rows without any usable one.
    """
    rows = [example for example in examples if example.usable]
    require_enough(rows)
    kind = task_kind(rows)
    parts = _split(rows, test, by_answer=kind is TaskKind.LABELS)
    labels = tuple(sorted(label_counts([*parts.train, *parts.dev]))) if kind is TaskKind.LABELS else ()
    return named(Dataset("", kind, labels, parts.train, parts.dev, parts.test, instruction, source))


def named(draft: Dataset) -> Dataset:
    """The dataset with the hash that belongs to its content."""
    return replace(draft, hash=_hash(_lines(draft), draft.instruction, draft.preferences))


def _split(rows: list[Example], test: Sequence[Example] | None, *, by_answer: bool) -> Split:
    if test is None:
        return split(rows, by_answer=by_answer)
    tests = [example for example in test if example.usable]
    if not tests:
        raise UnusableData("The test file has no usable row.", fix="Give test rows with an input and an answer each.")
    parts = split_around(rows, tests, by_answer=by_answer)
    require_enough([*parts.train, *parts.dev], " beside those that the test has too")
    return parts


def require_enough(rows: Sequence[Example], beside: str = "") -> None:
    """Raises UnusableData for fewer than ROWS_MIN different examples, and for a single answer."""
    different = len({example.id for example in rows})
    if different < ROWS_MIN:
        raise UnusableData(
            f"There are {different} different rows with an input and an answer{beside}.",
            fix=f"Add rows: at least {ROWS_MIN} are needed, and 200 or more make a better expert.",
        )
    if len({example.answer for example in rows}) == 1:
        raise UnusableData(
            f"All rows{beside} have the same answer, so there is nothing to learn.",
            fix="Add rows with other answers, or check that the right column is named with --output.",
        )


def _hash(lines: bytes, instruction: str | None, preferences: Preferences | None) -> str:
    stated = b"" if preferences is None else b"\n" + preferences.to_lines()
    return hashlib.sha256(json.dumps([_FORMAT, instruction]).encode() + b"\n" + lines + stated).hexdigest()


def _about(dataset: Dataset) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "hash": dataset.hash,
        "kind": dataset.kind,
        "labels": dataset.labels,
        "instruction": dataset.instruction,
        "source": dataset.source,
        "rows": {TRAIN: len(dataset.train), DEV: len(dataset.dev), TEST: len(dataset.test)},
    }


def _lines(dataset: Dataset) -> bytes:
    parts = ((TRAIN, dataset.train), (DEV, dataset.dev), (TEST, dataset.test))
    return "".join(f"{_line(example, part)}\n" for part, examples in parts for example in examples).encode()


def _line(example: Example, part: str) -> str:
    turns = [{"role": turn.role, "content": turn.content} for turn in example.messages]
    row: dict[str, Any] = {"id": example.id, "split": part}
    if example.group is not None:
        row["group"] = example.group
    row["messages"] = [*turns, {"role": "assistant", "content": example.answer}]
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _parsed(lines: str) -> dict[str, tuple[Example, ...]]:
    parts: dict[str, list[Example]] = {TRAIN: [], DEV: [], TEST: []}
    for row in (json.loads(line) for line in lines.split("\n") if line):
        *prompt, answer = (Message(turn["role"], turn["content"]) for turn in row["messages"])
        parts[row["split"]].append(Example.of(prompt, answer.content, row.get("group")))
    return {part: tuple(examples) for part, examples in parts.items()}
