"""What is worth knowing about examples before an expert is trained on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chiliad.data.dataset import Dataset, assemble
from chiliad.data.example import Example, normalise
from chiliad.data.personal import PersonalKind, personal_kinds
from chiliad.data.split import keys_shared
from chiliad.data.task import TaskKind, label_counts, task_kind
from chiliad.errors import UnusableData

TOKENS_MAX = 2048
ROWS_SHOWN_MAX = 5
_BYTES_PER_TOKEN = 4
_TOKENS_PER_TURN = 8


@dataclass(frozen=True)
class Finding:
    """How many rows are concerned, and the numbers of the first few (data rows, counted from 1)."""

    count: int
    rows: tuple[int, ...]

    @classmethod
    def of(cls, rows: Iterable[int]) -> Finding:
        numbers = sorted(rows)
        return cls(len(numbers), tuple(numbers[:ROWS_SHOWN_MAX]))


@dataclass(frozen=True)
class Report:
    """The result of `check`. No text of any row is in it but the labels.

    `overlap` and `labels_unseen` (labels that only the test has) are None without a test file. `dataset` is what
    `freeze` would write, and None when there is a `problem` because of which it would not.
    """

    rows: int
    usable: int
    kind: TaskKind
    labels: dict[str, int]
    labels_alike: tuple[tuple[str, ...], ...]
    empties: Finding
    duplicates: Finding
    contradictions: Finding
    overlong: Finding
    tokens_max: int
    tokens_estimated: bool
    personal: dict[PersonalKind, Finding]
    overlap: Finding | None
    labels_unseen: tuple[str, ...] | None
    dataset: Dataset | None
    problem: UnusableData | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dicts, lists, strings and numbers."""
        content = {name: value for name, value in vars(self).items() if name not in ("dataset", "problem")}
        for name, value in content.items():
            if isinstance(value, Finding):
                content[name] = asdict(value)
        content["personal"] = {kind: asdict(finding) for kind, finding in self.personal.items()}
        content["dataset"] = self.dataset and {
            "hash": self.dataset.hash,
            "train": len(self.dataset.train),
            "dev": len(self.dataset.dev),
            "test": len(self.dataset.test),
        }
        content["problem"] = self.problem and {
            "code": self.problem.code,
            "cause": self.problem.cause,
            "fix": self.problem.fix,
        }
        return content


def check(
    examples: Sequence[Example],
    *,
    test: Sequence[Example] | None = None,
    count_tokens: Callable[[str], int] | None = None,
    tokens_max: int = TOKENS_MAX,
) -> Report:
    """Look the examples over, and their overlap with test rows if given.

    Prompt and answer together should fit into `tokens_max` tokens; without `count_tokens` four bytes are taken for
    one token. Nothing is raised for unusable data: the report's `problem` is what `freeze` would raise.
    """
    numbered = {number: example for number, example in enumerate(examples, start=1) if example.usable}
    kind = task_kind(examples)
    labels = label_counts(examples) if kind is TaskKind.LABELS else {}
    dataset, problem = _try_assemble(examples, test)
    return Report(
        rows=len(examples),
        usable=len(numbered),
        kind=kind,
        labels=labels,
        labels_alike=_alike(labels),
        empties=Finding.of(number for number, example in enumerate(examples, start=1) if not example.usable),
        duplicates=_duplicates(numbered),
        contradictions=_contradictions(numbered),
        overlong=_overlong(numbered, count_tokens or _estimated_tokens, tokens_max),
        tokens_max=tokens_max,
        tokens_estimated=count_tokens is None,
        personal=_personal(numbered),
        overlap=None if test is None else _overlap(numbered, test),
        labels_unseen=None if test is None else tuple(sorted(label_counts(test).keys() - labels)) if labels else (),
        dataset=dataset,
        problem=problem,
    )


def _try_assemble(
    examples: Sequence[Example], test: Sequence[Example] | None
) -> tuple[Dataset | None, UnusableData | None]:
    try:
        return assemble(examples, test=test, source=""), None
    except UnusableData as problem:
        return None, problem


def _alike(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Labels that differ only in case or white space, and were probably meant to be one."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        spellings[normalise(label)].append(label)
    return tuple(tuple(sorted(same)) for same in spellings.values() if len(same) > 1)


def _duplicates(numbered: dict[int, Example]) -> Finding:
    """Rows with the input and the answer of an earlier row."""
    first: dict[str, int] = {}
    return Finding.of(number for number, example in numbered.items() if first.setdefault(example.id, number) != number)


def _contradictions(numbered: dict[int, Example]) -> Finding:
    """Rows whose input comes with another answer elsewhere."""
    answers: dict[str, set[str]] = defaultdict(set)
    for example in numbered.values():
        answers[example.key].add(example.answer)
    return Finding.of(number for number, example in numbered.items() if len(answers[example.key]) > 1)


def _overlong(numbered: dict[int, Example], count_tokens: Callable[[str], int], tokens_max: int) -> Finding:
    return Finding.of(n for n, example in numbered.items() if _is_overlong(example, count_tokens, tokens_max))


def _is_overlong(example: Example, count_tokens: Callable[[str], int], tokens_max: int) -> bool:
    texts = [turn.content for turn in example.messages] + [example.answer]
    room = tokens_max - _TOKENS_PER_TURN * len(texts)
    if sum(len(text.encode()) for text in texts) <= room:  # a token is one byte at least
        return False
    return sum(map(count_tokens, texts)) > room


def _estimated_tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_PER_TOKEN


def _personal(numbered: dict[int, Example]) -> dict[PersonalKind, Finding]:
    rows: dict[PersonalKind, list[int]] = {kind: [] for kind in PersonalKind}
    for number, example in numbered.items():
        for kind in personal_kinds("\n".join([*(turn.content for turn in example.messages), example.answer])):
            rows[kind].append(number)
    return {kind: Finding.of(found) for kind, found in rows.items()}


def _overlap(numbered: dict[int, Example], test: Sequence[Example]) -> Finding:
    """Rows that share their input or group with a test row, also through a third row."""
    shared = keys_shared(numbered.values(), [example for example in test if example.usable])
    return Finding.of(number for number, example in numbered.items() if example.key in shared)
