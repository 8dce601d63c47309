"""Everything that a workspace keeps about who may ask and what they spent."""

from __future__ import annotations

import time
from collections.abc import Callable

from chiliad.config import ElsewhereSettings, PriceSettings
from chiliad.ledger.prices import MachinePrice
from chiliad.ledger.recorder import Recorder
from chiliad.store import AuditLog, Budgets, Database, Keys, Ledger, Outcomes, Sessions, Votes


class Accounts:
    """Safe to share between threads. The database is the caller's to close, after this. `clock`: seconds since 1970."""

    def __init__(
        self,
        database: Database,
        prices: PriceSettings,
        clock: Callable[[], float] = time.time,
        *,
        elsewhere: ElsewhereSettings | None = None,
    ) -> None:
        self.clock = clock
        self.elsewhere = elsewhere or ElsewhereSettings()
        self.price = MachinePrice.of(prices)
        self.keys = Keys(database, clock)
        self.sessions = Sessions(database, clock)
        self.budgets = Budgets(database, clock)
        self.audit = AuditLog(database, clock)
        self.votes = Votes(database, clock)
        self.outcomes = Outcomes(database)
        self.ledger = Ledger(database)
        self.recorder = Recorder(self.ledger)

    def close(self) -> None:
        """Write what the ledger has not got yet."""
        self.recorder.close()
