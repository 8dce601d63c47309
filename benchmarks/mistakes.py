"""Right queries made wrong, in the ways in which small models get them wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from wikisql import Question

from chiliad.copilot import identifier, literal
from chiliad.store import Table

_WORD = re.compile(r"\w+")


def mistaken(question: Question, table: Table, chance: random.Random) -> str:
    """A query that is not the right one; whether it runs is for the database to say."""
    right = question.sql(table)
    wrongs = list(WRONGS)
    chance.shuffle(wrongs)
    for wrong in wrongs:
        made = wrong(right, question, table, chance)
        if made != right:
            return made
    return right.replace("SELECT ", "SELECT (", 1)


def _invented_column(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    """A column that is called like a word of the question, or only nearly like one that there is."""
    name = chance.choice([question.column, *(one.column for one in question.conditions)])
    words = [word.lower() for word in _WORD.findall(question.text) if len(word) > 3 and not word[0].isdigit()]
    parts = name.split("_")
    invented = chance.choice([name + "s", "_".join(parts[:-1]) or name + "_name", chance.choice(words or ["name"])])
    if invented in {column.name for column in table.columns}:
        return sql
    return sql.replace(identifier(name), identifier(invented))


def _other_column(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    """A condition on another column."""
    numbers = {column.name: column.is_number for column in table.columns}
    conditions = [one for one in question.conditions if not numbers[one.column]]
    if not conditions:
        return sql
    one = chance.choice(conditions)
    others = [name for name, is_number in numbers.items() if not is_number and name != one.column]
    if not others:
        return sql
    return _condition_replaced(sql, one.column, one.value, chance.choice(others), one.value)


def _other_text(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    """A text with a word too few or too many, or a letter wrong."""
    texts = {column.name for column in table.columns if not column.is_number}
    conditions = [one for one in question.conditions if one.column in texts]
    if not conditions:
        return sql
    one = chance.choice(conditions)
    words, place = one.value.split(), chance.randrange(len(one.value))
    ways = [one.value[:place] + one.value[place + 1 :], f"the {one.value}", f"{one.value} {one.column.split('_')[-1]}"]
    if len(words) > 1:
        ways += [" ".join(words[:-1]), " ".join(words[1:])] * 2
    return _condition_replaced(sql, one.column, one.value, one.column, chance.choice(ways))


def _no_quotes(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    quoted = re.findall(r"'(?:[^']|'')+'|\"[^\"]+\"", sql)
    if not quoted:
        return sql
    one = chance.choice(quoted)
    return sql.replace(one, chance.choice([one[1:-1], one[:-1]]), 1)


def _other_table(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    return sql.replace(
        f" FROM {identifier(table.name)}", f" FROM {chance.choice(('table', 't', table.name + '_data'))}"
    )


def _cut_short(sql: str, question: Question, table: Table, chance: random.Random) -> str:
    return sql.rpartition(" ")[0] if " WHERE " in sql else sql


def _condition_replaced(sql: str, column: str, value: str, other_column: str, other_value: str) -> str:
    return sql.replace(
        f"{identifier(column)} = {literal(value)}", f"{identifier(other_column)} = {literal(other_value)}", 1
    )


WRONGS: Sequence[Callable[[str, Question, Table, random.Random], str]] = (
    *(_invented_column, _other_column, _other_column, _other_column),
    *(_other_text, _other_text, _other_text),
    *(_no_quotes, _other_table, _cut_short),
)
