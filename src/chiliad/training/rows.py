"""Examples as token rows, and rows as batches.

A batch is a flat run of tokens without padding; rows of like length stand together, so that attention, the only part that
needs rectangles, wastes little. What all rows of a batch begin with is in it once: under causal attention those tokens mean
the same in every row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Row:
    """One example as tokens: prompt, then answer with its end-of-turn token."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def answer_length(self) -> int:
        return len(self.ids) - self.prompt_length


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


def epoch_batches(rows: Sequence[Row], *, rows_per_batch: int, tokens_max: int, seed: int) -> list[list[Row]]:
    """One epoch: shuffled, grouped by length inside windows of sixteen batches, batches shuffled again.

    A batch holds at most `rows_per_batch` rows and, unless a single row is longer, `tokens_max` tokens. The order is a
    function of the rows and the seed alone, which is what lets a resumed run repeat an uninterrupted one.
    """
    rng = random.Random(seed)
    order = list(rows)
    rng.shuffle(order)
    window = rows_per_batch * 16
    batches: list[list[Row]] = []
    for start in range(0, len(order), window):
        by_length = sorted(order[start : start + window], key=lambda row: len(row.ids))
        batches += cut(by_length, tokens_max=tokens_max, rows_max=rows_per_batch)
    rng.shuffle(batches)
    return batches


def scoring_batches(rows: Sequence[Row], *, tokens_max: int) -> list[list[Row]]:
    """All rows once, longest last, for dev loss."""
    return cut(sorted(rows, key=lambda row: len(row.ids)), tokens_max=tokens_max)


def cut(rows: Sequence[Row], *, tokens_max: int, rows_max: int | None = None) -> list[list[Row]]:
    """Rows in their order, in groups within both limits; a row that is longer than `tokens_max` is a group alone."""
    groups: list[list[Row]] = []
    tokens = 0
    for row in rows:
        length = len(row.ids)
        if not groups or len(groups[-1]) == rows_max or tokens + length > tokens_max:
            groups.append([])
            tokens = 0
        groups[-1].append(row)
        tokens += length
    return groups


def computed_tokens(rows: Sequence[Row]) -> int:
    """Tokens that a batch of these rows holds."""
    return sum(len(row.ids) - 1 for row in rows) - _shared_beginning(rows) * (len(rows) - 1)


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
