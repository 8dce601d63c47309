"""What one request takes: reserved before its answers begin, measured while they are made, recorded when they end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from chiliad.ledger import Accounts, MachineTime
from chiliad.server.caller import Caller
from chiliad.server.limits import limit_headers, too_much
from chiliad.server.meters import Meters
from chiliad.server.wire.usage import Usage, usage
from chiliad.store import Entry, Refusal, Reservation, Settled

COST_HEADER = "x-chiliad-cost"


@dataclass(frozen=True)
class Order:
    """What is asked for.

    id: the answer's own; model: what it stands for (`tickets@3`); prompt_tokens: every prompt counts once, however many
    choices are asked for; tokens_max: of all answers together
    """

    id: str
    model: str
    prompt_tokens: int
    tokens_max: int
    choices: int


class Bill:
    """Lives on the event loop. Whoever opens one closes it, whatever becomes of the answers."""

    def __init__(self, order: Order, caller: Caller, accounts: Accounts, machine: MachineTime, meters: Meters) -> None:
        self._order = order
        self._caller = caller
        self._accounts = accounts
        self._machine = machine
        self._meters = meters
        self._reservation: Reservation | None = None
        self._entered: dict[int, float] = {}
        self._begun = False
        self._began_s = time.monotonic()
        self._machine_s = 0.0
        self._answers = self._answer_tokens = self._cached_tokens = 0

    def reserve(self) -> None:
        """Take the most that the order can use from the caller's limits. On a worker thread.

        Raises HttpError (429), and StoreError: without the database a key with limits gets nothing.
        """
        tokens = self._order.prompt_tokens + self._order.tokens_max
        spend = self._accounts.price.cost_max(tokens)
        reserved = self._accounts.budgets.reserve(self._caller.id, self._caller.limits, tokens=tokens, spend=spend)
        if isinstance(reserved, Refusal):
            raise too_much(reserved)
        self._reservation = reserved

    def begin(self, index: int) -> None:
        """An answer begins."""
        self._begun = True
        self._entered[index] = self._machine.enter()

    def add(self, tokens: int) -> None:
        """An answer has grown."""
        self._answer_tokens += tokens

    def end(self, index: int, *, cached_tokens: int = 0) -> None:
        """An answer is whole. What was cached of a prompt counts as far as its first answer had it."""
        if index in self._entered:
            self._answers += 1
            self._cached_tokens += 0 if index % self._order.choices else cached_tokens
            self._leave(index)

    def usage(self) -> Usage:
        """What the answers took that have ended so far."""
        return usage(self._order.prompt_tokens, self._answer_tokens, self._cached_tokens, self._cost)

    @property
    def limits(self) -> dict[str, str]:
        """Headers that tell where the caller's limits stand."""
        return limit_headers(self._reservation.standing) if self._reservation else {}

    @property
    def headers(self) -> dict[str, str]:
        """Those of answers that have all ended."""
        return {**self.limits, COST_HEADER: f"{self._cost:.9f}"}

    def close(self) -> None:
        """Record what was used; answers that have not ended end here. A request that the engine refused used nothing."""
        for index in list(self._entered):
            self._leave(index)
        entry = self._entry()
        if self._begun:
            self._meters.note(entry)
        if self._begun or self._reservation is not None:
            self._accounts.recorder.add(Settled(entry, self._reservation))

    @property
    def _cost(self) -> float:
        return self._accounts.price.cost(self._machine_s)

    def _entry(self) -> Entry:
        return Entry(
            id=self._order.id,
            at_s=self._accounts.clock(),
            key_id=self._caller.id,
            project=self._caller.project,
            model=self._order.model,
            answers=self._answers,
            prompt_tokens=self._order.prompt_tokens if self._begun else 0,
            cached_tokens=self._cached_tokens,
            answer_tokens=self._answer_tokens,
            machine_s=self._machine_s,
            wait_s=time.monotonic() - self._began_s,
            cost=self._cost,
        )

    def _leave(self, index: int) -> None:
        self._machine_s += self._machine.leave(self._entered.pop(index))
