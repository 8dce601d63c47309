"""A question on its way to a query: what to ask the expert next, and what came of each try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chiliad.copilot.complaint import complaint
from chiliad.copilot.prompt import Mistake, prompt
from chiliad.errors import QueryError
from chiliad.store.read_only import ReadOnlyFile, Result, Table


@dataclass(frozen=True)
class Try:
    """A query with what it gave; complaint: what the expert is told about it, None if nothing is wrong with it"""

    sql: str
    result: Result | None
    complaint: str | None


class Draft:
    """Whoever drives it asks the expert for `prompt` and gives the answer to `take`, until it is `done`.

    `take` runs the query: call it on a worker thread.
    """

    def __init__(self, database: ReadOnlyFile, tables: Sequence[Table], question: str, *, tries_max: int) -> None:
        self._database = database
        self._tables = tables
        self._question = question
        self._tries_max = tries_max
        self._tries: list[Try] = []

    @property
    def tries(self) -> tuple[Try, ...]:
        return tuple(self._tries)

    @property
    def prompt(self) -> str:
        """What to ask the expert now: the question, with the last query if something was wrong with that."""
        last = self._tries[-1] if self._tries else None
        mistake = Mistake(last.sql, last.complaint) if last and last.complaint else None
        return prompt(self._tables, self._question, mistake)

    @property
    def done(self) -> bool:
        """Nothing is wrong with the last try, it repeats an earlier one, or there were enough."""
        if not self._tries:
            return False
        last, earlier = self._tries[-1], {one.sql for one in self._tries[:-1]}
        return last.complaint is None or last.sql in earlier or len(self._tries) >= self._tries_max

    @property
    def best(self) -> Try:
        """The first without a complaint; else the first that ran, for that there is nothing may be right; else the first."""
        by_rank = sorted(self._tries, key=lambda one: (one.complaint is not None, one.result is None))
        return by_rank[0]

    def take(self, answer: str) -> Try:
        """Run the query that the expert has answered."""
        assert not self.done, "a draft that is done takes no more tries"
        sql = answer.strip().removesuffix(";").rstrip()
        ran: Result | QueryError
        try:
            ran = self._database.run(sql)
        except QueryError as error:
            ran = error
        told = complaint(self._database, self._tables, sql, ran)
        tried = Try(sql, ran if isinstance(ran, Result) else None, told)
        self._tries.append(tried)
        return tried
