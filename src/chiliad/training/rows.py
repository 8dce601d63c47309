"""Examples as token rows, and rows as batches.

A batch is a flat run of tokens without padding; rows of like length stand together, so that attention, the only part that
needs rectangles, wastes little. What all rows of a batch begin with is in it once: under causal attention those tokens mean
the same in every row.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """What a pass says of a row. nll: -log p of its answer; exact: whether every answer token came first."""

    nll: float
    exact: bool


@dataclass(frozen=True)
class Verdict:
    """On a lesson. slopes: of the loss by the nll of each row; right: whether it is as it should be."""

    loss: float
    slopes: tuple[float, ...]
    right: bool


class Lesson(Protocol):
    """What is judged as one: a row by its own tokens, or an opinion about one or two (`training.opinion`).

    rows: never divided between two passes; units: what it counts for in a mean loss.
    """

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def units(self) -> int: ...

    @property
    def identity(self) -> list[Any]:
        """What JSON can hold, equal for equal lessons."""
        ...

    def judge(self, seen: Sequence[Seen]) -> Verdict:
        """seen: of each of the rows"""
        ...


@dataclass(frozen=True)
class Row:
    """One example as tokens: prompt, then answer with its end-of-turn token. Implements `Lesson`."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def answer_length(self) -> int:
        return len(self.ids) - self.prompt_length

    @property
    def rows(self) -> tuple[Row, ...]:
        return (self,)

    @property
    def units(self) -> int:
        """A mean loss is one of answer tokens."""
        return self.answer_length

    @property
    def identity(self) -> list[Any]:
        return [self.ids, self.prompt_length]

    def judge(self, seen: Sequence[Seen]) -> Verdict:
        (mine,) = seen
        return Verdict(mine.nll, (1.0,), mine.exact)


@dataclass(frozen=True)
class Batch:
    """Their common beginning, then the rest of each row, laid end to end.

    ids, positions: [tokens]; predicts: [answers] indices of the tokens whose next token is an answer token; targets:
    [answers] those next tokens; answer_row: [answers] the row of each; spans: the tokens, first and past the last, that each
    row has for itself; grid: how attention arranges the tokens.
    """

    ids: Tensor
    positions: Tensor
    predicts: Tensor
    targets: Tensor
    answer_row: Tensor
    spans: tuple[tuple[int, int], ...]
    grid: Grid
    rows: int

    @property
    def tokens(self) -> int:
        """Of the rows, each with its own beginning."""
        return len(self.ids) + self.grid.shared * (self.rows - 1)


@dataclass(frozen=True)
class Grid:
    """Tokens as a rectangle [rows, width], short rows filled up at the end with copies of their last token.

    cells: [rows * width] the token of each cell; slots: [tokens] a cell of each token, for the `shared` first tokens, which
    stand in every row, that of the first row.
    Filling at the end is exact under causal attention: no real token looks at a later cell.
    """

    rows: int
    width: int
    shared: int
    cells: Tensor
    slots: Tensor


def make_batch(rows: Sequence[Row]) -> Batch:
    """Lay rows end to end. The last token of a row is never an input: nothing follows it."""
    shared = _shared_beginning(rows)
    lengths = [len(row.ids) - 1 - shared for row in rows]
    starts = [shared + sum(lengths[:i]) for i in range(len(rows))]
    predicts = [
        start + i - shared
        for start, row in zip(starts, rows, strict=True)
        for i in range(row.prompt_length - 1, len(row.ids) - 1)
    ]
    return Batch(
        ids=torch.tensor([*rows[0].ids[:shared], *(token for row in rows for token in row.ids[shared:-1])]),
        positions=torch.cat([torch.arange(shared), *(torch.arange(shared, shared + length) for length in lengths)]),
        predicts=torch.tensor(predicts),
        targets=torch.tensor([token for row in rows for token in row.ids[row.prompt_length :]]),
        answer_row=torch.tensor([i for i, row in enumerate(rows) for _ in range(row.answer_length)]),
        spans=tuple((start, start + length) for start, length in zip(starts, lengths, strict=True)),
        grid=_grid(lengths, starts, shared),
        rows=len(rows),
    )


def flat(lessons: Iterable[Lesson]) -> list[Row]:
    """The rows of lessons, one after another."""
    return [row for lesson in lessons for row in lesson.rows]


def epoch_batches(lessons: Sequence[Lesson], *, rows_per_batch: int, tokens_max: int, seed: int) -> list[list[Lesson]]:
    """One epoch: shuffled, grouped by length inside windows of sixteen batches, batches shuffled again.

    A batch holds at most `rows_per_batch` lessons and, unless a single one is longer, `tokens_max` tokens. The order is a
    function of the lessons and the seed alone, which is what lets a resumed run repeat an uninterrupted one.
    """
    rng = random.Random(seed)
    order = list(lessons)
    rng.shuffle(order)
    window = rows_per_batch * 16
    batches: list[list[Lesson]] = []
    for start in range(0, len(order), window):
        by_length = sorted(order[start : start + window], key=length_of)
        batches += cut(by_length, tokens_max=tokens_max, lessons_max=rows_per_batch)
    rng.shuffle(batches)
    return batches


def scoring_batches(lessons: Sequence[Lesson], *, tokens_max: int) -> list[list[Lesson]]:
    """All lessons once, longest last, for dev loss."""
    return cut(sorted(lessons, key=length_of), tokens_max=tokens_max)


def cut(lessons: Sequence[Lesson], *, tokens_max: int, lessons_max: int | None = None) -> list[list[Lesson]]:
    """Lessons in their order, in groups within both limits; one that is longer than `tokens_max` is a group alone."""
    groups: list[list[Lesson]] = []
    tokens = 0
    for lesson in lessons:
        length = length_of(lesson)
        if not groups or len(groups[-1]) == lessons_max or tokens + length > tokens_max:
            groups.append([])
            tokens = 0
        groups[-1].append(lesson)
        tokens += length
    return groups


def length_of(lesson: Lesson) -> int:
    """In tokens."""
    return sum(len(row.ids) for row in lesson.rows)


def computed_tokens(lessons: Sequence[Lesson]) -> int:
    """Tokens that a batch of these lessons holds."""
    rows = flat(lessons)
    return sum(len(row.ids) - 1 for row in rows) - _shared_beginning(rows) * (len(rows) - 1)


def judged(lessons: Sequence[Lesson], batch: Batch, nll: Tensor, correct: Tensor) -> list[Verdict]:
    """The lessons whose rows are the batch, by what a pass says of its answer tokens: nll, correct [answers]."""
    return [lesson.judge(seen) for lesson, seen in zip(lessons, seen_of(lessons, batch, nll, correct), strict=True)]


def seen_of(lessons: Sequence[Lesson], batch: Batch, nll: Tensor, correct: Tensor) -> list[tuple[Seen, ...]]:
    """What a pass says of each lesson's rows."""
    sums = torch.zeros(batch.rows, dtype=torch.float64).index_add_(0, batch.answer_row, nll.double())
    wrong = torch.zeros(batch.rows).index_add_(0, batch.answer_row, (~correct).float())
    rows = map(Seen, sums.tolist(), (wrong == 0).tolist())
    return [tuple(itertools.islice(rows, len(lesson.rows))) for lesson in lessons]


def _shared_beginning(rows: Sequence[Row]) -> int:
    """How many tokens all rows begin with; the last token of a prompt, which predicts, is never among them."""
    if len(rows) == 1:
        return 0
    longest = min(row.prompt_length for row in rows) - 1
    first = rows[0].ids
    return next((i for i in range(longest) if any(row.ids[i] != first[i] for row in rows)), longest)


def _grid(lengths: Sequence[int], starts: Sequence[int], shared: int) -> Grid:
    width = shared + max(lengths)
    column = torch.arange(width) - shared
    length, start = torch.tensor(lengths).unsqueeze(1), torch.tensor(starts).unsqueeze(1)
    cells = torch.where(column < 0, column + shared, start + torch.minimum(column, length - 1))
    real = (column < length) & (column >= 0)
    cell_index = torch.arange(len(lengths) * width).view(len(lengths), width)
    return Grid(len(lengths), width, shared, cells.flatten(), torch.cat((torch.arange(shared), cell_index[real])))
