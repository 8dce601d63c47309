"""WikiSQL's questions with queries that SQLite runs, and tables with rows for them.

The set has questions and queries, but of its tables only the names of the columns. `fill` makes rows such that a wrong
query shows, after Zhong, Yu and Klein, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites" (2020): for each
question on a table there are two rows that answer it, and for each of its conditions a row that meets all the others but
not that one.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from chiliad.copilot import identifier, literal
from chiliad.store import Column, Table

TABLE_NAMES = (
    *("games", "matches", "players", "teams", "results", "records", "seasons", "events", "races", "episodes"),
    *("films", "songs", "albums", "schools", "cities", "districts", "stations", "members", "winners", "candidates"),
    *("products", "models", "ships", "trains", "t", "data", "list", "entries", "items", "people"),
)
OTHER_ROWS = 6
"""rows that belong to no question"""

_SELECT = re.compile(r"SELECT (?:(COUNT|MAX|MIN|SUM|AVG)\((\w+)\)|(\w+)) FROM (?:t|table)(?: WHERE (.+))?")
_CONDITION = re.compile(r'(\w+) ([=<>]) (?:"([^"]*)"|(\S+))(?: AND |$)')
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")

Value = str | int | float


@dataclass(frozen=True)
class Condition:
    column: str
    operator: str
    value: str


@dataclass(frozen=True)
class Question:
    """aggregate: COUNT, MAX, MIN, SUM, AVG or nothing"""

    text: str
    table_id: str
    column: str
    aggregate: str
    conditions: tuple[Condition, ...]

    def sql(self, table: Table) -> str:
        """The right query, as experts are taught to write it."""
        numbers = {column.name for column in table.columns if column.is_number}
        selected = identifier(self.column)
        query = (
            f"SELECT {f'{self.aggregate}({selected})' if self.aggregate else selected} FROM {identifier(table.name)}"
        )
        wheres = [
            f"{identifier(one.column)} {one.operator} {_written(one.value, one.column in numbers)}"
            for one in self.conditions
        ]
        return f"{query} WHERE {' AND '.join(wheres)}" if wheres else query


@dataclass(frozen=True)
class Asked:
    """A table with the questions that are asked about it."""

    table: Table
    questions: tuple[Question, ...]


def read(path: Path) -> list[Asked]:
    """All tables of a part of the set, in its order. Queries that are not of WikiSQL's form are left out."""
    columns: dict[str, list[str]] = {}
    questions: dict[str, list[Question]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            columns[row["table_id"]] = row["columns_seen"]
            question = _parsed(row)
            if question is not None:
                questions[row["table_id"]].append(question)
    return [Asked(_table(table_id, columns[table_id], asked), tuple(asked)) for table_id, asked in questions.items()]


def sample(asked: Sequence[Asked], count: int, salt: str = "") -> list[tuple[Asked, Question]]:
    """The same `count` questions for ever, chosen by the hash of their content."""
    pairs = [(one, question) for one in asked for question in one.questions]
    return sorted(pairs, key=lambda pair: sha256(f"{salt}{pair[1]}".encode()).digest())[:count]


class Pools:
    """Texts and numbers that columns of a name have elsewhere in the set, for the rows that need others."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._texts: dict[str, list[str]] = defaultdict(list)
        for one in asked:
            numbers = {column.name for column in one.table.columns if column.is_number}
            for question in one.questions:
                for condition in question.conditions:
                    if condition.column not in numbers:
                        self._texts[condition.column].append(condition.value)
        self._any = sorted({text for texts in self._texts.values() for text in texts[:3]})

    def value(self, column: Column, own: Sequence[str], chance: random.Random) -> Value:
        if column.is_number:
            near = _number(chance.choice(own)) if own else chance.choice((5, 30, 1990))
            return near + chance.randint(-20, 20) or 1
        texts = self._texts.get(column.name, ())
        among = [*own, *chance.sample(texts, min(3, len(texts)))]
        return chance.choice(among if among and chance.random() < 0.8 else self._any)


def fill(path: Path, asked: Asked, pools: Pools, seed: int, *, unanswered: Question | None = None) -> None:
    """Write a SQLite file with the table. Texts are compared without their case, as WikiSQL's own evaluation does.

    To `unanswered`, one of the questions, no row is made that answers it.
    """
    chance = random.Random(f"{asked.table} {seed}")
    own: dict[str, list[str]] = defaultdict(list)
    for question in asked.questions:
        for condition in question.conditions:
            own[condition.column].append(condition.value)

    def row(*conditions: Condition, against: Condition | None = None) -> list[Value]:
        values = {column.name: pools.value(column, own[column.name], chance) for column in asked.table.columns}
        is_number = {column.name: column.is_number for column in asked.table.columns}
        for one in conditions:
            values[one.column] = _meeting(one, is_number[one.column], chance)
        if against is not None:
            values[against.column] = _missing(against, is_number[against.column], values, own, chance)
        return [values[column.name] for column in asked.table.columns]

    rows = [row() for _ in range(OTHER_ROWS)]
    for question in asked.questions:
        if question != unanswered:
            rows += [row(*question.conditions), row(*question.conditions)]
        rows += [row(*question.conditions, against=one) for one in question.conditions]
    chance.shuffle(rows)
    _write(path, asked.table, rows)


def _parsed(row: Mapping[str, str]) -> Question | None:
    found = _SELECT.fullmatch(row["sql"])
    if found is None:
        return None
    aggregate, aggregated, named, where = found.groups()
    conditions = [
        Condition(column, operator, _as_asked((quoted or plain).strip(), row["question"]))
        for column, operator, quoted, plain in _CONDITION.findall(where or "")
    ]
    whole = "".join(match.group() for match in _CONDITION.finditer(where or ""))
    unordered = any(one.operator != "=" and not _NUMBER.fullmatch(one.value) for one in conditions)
    if whole != (where or "") or unordered or any(not one.value for one in conditions):
        return None
    return Question(row["question"], row["table_id"], aggregated or named, aggregate or "", tuple(conditions))


def _as_asked(value: str, question: str) -> str:
    """Half of the set has its values in small letters: as the question writes them they can be copied from it."""
    begin = question.lower().find(value.lower())
    return value if begin < 0 else question[begin : begin + len(value)]


def _table(table_id: str, columns: Sequence[str], questions: Sequence[Question]) -> Table:
    """A column is a number if that fits all that is asked about it and something needs it."""
    texts = {one.column for question in questions for one in question.conditions if not _NUMBER.fullmatch(one.value)}
    numbers = {one.column for question in questions for one in question.conditions}
    numbers |= {question.column for question in questions if question.aggregate not in ("", "COUNT")}
    name = TABLE_NAMES[sha256(table_id.encode()).digest()[0] % len(TABLE_NAMES)]
    return Table(name, tuple(Column(column, column in numbers - texts) for column in columns))


def _written(value: str, is_number: bool) -> str:
    return str(_number(value)) if is_number else literal(value)


def _number(value: str) -> int | float:
    number = float(value.replace(",", ""))
    return int(number) if number.is_integer() else number


def _meeting(one: Condition, is_number: bool, chance: random.Random) -> Value:
    if not is_number:
        return one.value
    return _number(one.value) + {"=": 0, "<": -1, ">": 1}[one.operator] * chance.randint(1, 9)


def _missing(
    one: Condition, is_number: bool, row: Mapping[str, Value], own: Mapping[str, Sequence[str]], chance: random.Random
) -> Value:
    """A value that just does not meet the condition."""
    if is_number:
        return _number(one.value) + (chance.randint(1, 9) if one.operator == "=" else 0)
    others = [value for value in own[one.column] if value.lower() != one.value.lower()]
    return chance.choice(others) if others else f"{one.value} {chance.choice(('II', 'B', '(2)'))}"


def _write(path: Path, table: Table, rows: Sequence[Sequence[Value]]) -> None:
    columns = ", ".join(
        identifier(column.name) + (" REAL" if column.is_number else " TEXT COLLATE NOCASE") for column in table.columns
    )
    with closing(sqlite3.connect(path)) as connection:
        for setting in ("synchronous = OFF", "journal_mode = OFF"):  # a table that is made anew costs nothing to lose
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"CREATE TABLE {identifier(table.name)} ({columns})")
        places = ", ".join("?" for _ in table.columns)
        connection.executemany(f"INSERT INTO {identifier(table.name)} VALUES ({places})", rows)
        connection.commit()
