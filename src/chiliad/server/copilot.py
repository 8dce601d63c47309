"""A question about a database, drafted by an expert until its query runs: what the API and the page share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from fastapi import Request

from chiliad.copilot import Draft, Try, select_grammar
from chiliad.server.access import Need
from chiliad.server.bill import COST_HEADER, Bill
from chiliad.server.caller import Caller
from chiliad.server.conversation import prepared
from chiliad.server.errors import HttpError
from chiliad.server.state import ServerState
from chiliad.server.wire.chat import ChatBody, Message
from chiliad.server.wire.usage import Usage
from chiliad.store import Result, Said, Table
from chiliad.workspace import Workspace
from chiliad.workspace.feedback import Given

ANSWER_TOKENS_MAX = 256


@dataclass(frozen=True)
class Question:
    """guided: whether the query may name nothing but the tables' own columns, and be no more than a plain SELECT"""

    model: str
    database: str
    text: str
    guided: bool


@dataclass(frozen=True)
class Drafted:
    """id: of the expert's first answer, which is kept, so that there can be feedback on it; model: `sql@1`"""

    id: str
    model: str
    question: Question
    tries: tuple[Try, ...]
    best: Try
    usages: tuple[Usage, ...]
    """one for each try"""
    headers: Mapping[str, str]
    """where the caller's limits stand now, and what all tries together cost"""


async def drafted(
    question: Question, request: Request, state: ServerState, workspace: Workspace, caller: Caller
) -> Drafted:
    """Ask, run, and ask again with what was wrong. Raises what a chat raises, and FileMissing, FileRefused."""
    database = await asyncio.to_thread(workspace.databases.open, question.database)
    tables = await asyncio.to_thread(database.tables)
    if not tables:
        raise HttpError.bad_value("database", "The database has no table.", fix="Choose another one.")
    grammar = _grammar(tables) if question.guided else None
    draft = Draft(database, tables, question.text, tries_max=workspace.settings.copilot.tries_max)
    ids: list[str] = []
    bills: list[Bill] = []
    root = question.model
    while not draft.done:
        body = ChatBody(
            model=root,
            messages=[Message(role="user", content=draft.prompt)],
            max_tokens=ANSWER_TOKENS_MAX,
            guided_grammar=grammar,
            store=not ids,  # feedback on a question is about its first answer: that is what should be right
        )
        ids.append(f"chatcmpl-{uuid4().hex}")
        asked = await prepared(body, ids[-1], state, caller)
        root = asked.model.root
        [completion] = await state.complete(asked.starts, asked.bill, request)
        await asked.keepsake.keep([completion])
        bills.append(asked.bill)
        async with state.queries:
            await asyncio.to_thread(draft.take, completion.text)
    usages = tuple(bill.usage() for bill in bills)
    headers = {**bills[-1].limits, COST_HEADER: f"{sum(usage['cost'] for usage in usages):.9f}"}
    return Drafted(ids[0], root, question, draft.tries, draft.best, usages, headers)


def _grammar(tables: Sequence[Table]) -> str:
    """Raises HttpError (400) where there can be none: what is asked for is never left out."""
    grammar = select_grammar(tables)
    if grammar is None:
        cause = "The database has too many columns to hold a query to them."
        raise HttpError.bad_value("guided", cause, fix="Leave `guided` out, or choose another database.")
    return grammar


async def run(database: str, sql: str, state: ServerState, workspace: Workspace) -> Result:
    """Raises FileMissing, FileRefused, QueryFailed and QueryRefused."""
    opened = await asyncio.to_thread(workspace.databases.open, database)
    async with state.queries:
        return await asyncio.to_thread(opened.run, sql)


async def accept(
    answer_id: str, database: str, sql: str, state: ServerState, workspace: Workspace, caller: Caller
) -> Given:
    """Say that this query is right: good for the answer if it is that, else its correction, once it has run.

    Raises AnswerNotFound, and what `run` raises.
    """
    await run(database, sql, state, workspace)
    answer = await asyncio.to_thread(workspace.feedback.answers.get, answer_id, project=caller.sees)
    is_it = _bare(answer.text) == _bare(sql)
    said = Said(boolean=True) if is_it else Said(demonstration=_bare(sql))
    trusted = Need.WORK.met_by(caller.role)
    return await asyncio.to_thread(
        lambda: workspace.feedback.give(answer_id, said, by=caller.id, project=caller.sees, trusted=trusted)
    )


def _bare(sql: str) -> str:
    return sql.strip().removesuffix(";").rstrip()
