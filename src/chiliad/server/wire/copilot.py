"""`/v1/copilot`: databases, drafts of queries, and what queries give."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from chiliad.server.copilot import Drafted, Question
from chiliad.server.wire.text import Text
from chiliad.server.wire.usage import Usage
from chiliad.store import DatabaseFile, Result, Table
from chiliad.store.databases import NAME_PATTERN
from chiliad.store.read_only import SQL_CHARS_MAX

QUESTION_CHARS_MAX = 2_000

DatabaseName = Annotated[Text, Field(pattern=NAME_PATTERN)]
DatabaseInPath = Annotated[str, Path(pattern=NAME_PATTERN)]
Sql = Annotated[Text, Field(min_length=1, max_length=SQL_CHARS_MAX)]


class DraftBody(BaseModel):
    model: Text = Field(min_length=1, max_length=512)
    """the expert"""
    database: DatabaseName
    question: Text = Field(min_length=1, max_length=QUESTION_CHARS_MAX)
    guided: bool = False
    """whether the query may name nothing but the tables' own columns"""

    def asked(self) -> Question:
        return Question(self.model, self.database, self.question, self.guided)


class RunBody(BaseModel):
    database: DatabaseName
    sql: Sql


class ColumnOnWire(TypedDict):
    name: str
    type: Literal["number", "text"]


class TableOnWire(TypedDict):
    name: str
    columns: list[ColumnOnWire]


class DatabaseOnWire(TypedDict):
    id: str
    object: Literal["copilot.database"]
    bytes: int


class DatabaseList(TypedDict):
    object: Literal["list"]
    data: list[DatabaseOnWire]


class DatabaseTables(TypedDict):
    id: str
    object: Literal["copilot.tables"]
    tables: list[TableOnWire]


class DatabaseDeleted(TypedDict):
    id: str
    object: Literal["copilot.database.deleted"]
    deleted: Literal[True]


class ResultOnWire(TypedDict):
    object: Literal["copilot.result"]
    columns: list[str]
    rows: list[list[str | int | float | None]]
    truncated: bool
    seconds: float


class TryOnWire(TypedDict):
    sql: str
    problem: str | None
    """what the expert was told about it"""


class DraftOnWire(TypedDict):
    id: str
    """what feedback names as the answer"""
    object: Literal["copilot.draft"]
    model: str
    database: str
    sql: str
    problem: str | None
    tries: list[TryOnWire]
    result: ResultOnWire | None
    usage: list[Usage]
    """of each try"""


def database_on_wire(file: DatabaseFile) -> DatabaseOnWire:
    return DatabaseOnWire(id=file.name, object="copilot.database", bytes=file.bytes)


def table_on_wire(table: Table) -> TableOnWire:
    columns = [ColumnOnWire(name=one.name, type="number" if one.is_number else "text") for one in table.columns]
    return TableOnWire(name=table.name, columns=columns)


def result_on_wire(result: Result) -> ResultOnWire:
    return ResultOnWire(
        object="copilot.result",
        columns=list(result.columns),
        rows=[list(row) for row in result.rows],
        truncated=result.cut,
        seconds=round(result.seconds, 4),
    )


def draft_on_wire(drafted: Drafted) -> DraftOnWire:
    best = drafted.best
    return DraftOnWire(
        id=drafted.id,
        object="copilot.draft",
        model=drafted.model,
        database=drafted.question.database,
        sql=best.sql,
        problem=best.complaint,
        tries=[TryOnWire(sql=one.sql, problem=one.complaint) for one in drafted.tries],
        result=None if best.result is None else result_on_wire(best.result),
        usage=list(drafted.usages),
    )
