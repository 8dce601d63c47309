"""What a key may still use, right among several servers on one database: reserved before an answer, settled after it.

A meter is one row per limited key with what was used in the running minute and in the running calendar month, both UTC. A
reservation takes the most that a request can use; settling gives back what it did not. A server that dies in between
gives nothing back: it errs on the side of the limit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from sqlalchemy import Connection, select, update

from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.keys import Limits
from chiliad.store.tables import meters

MINUTE_S = 60


class Limit(StrEnum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    SPEND = "spend"


@dataclass(frozen=True)
class Standing:
    """What a key may still use in the running minute, which ends in `reset_s`; None is without limit."""

    limits: Limits
    requests_left: int | None
    tokens_left: int | None
    reset_s: int


@dataclass(frozen=True)
class Reservation:
    key_id: str
    minute: int
    month: str
    tokens: int
    spend: float
    standing: Standing


@dataclass(frozen=True)
class Refusal:
    """asked, left: of what the limit counts; hopeless: even an unused limit would not do; wait_s: until it is unused"""

    limit: Limit
    asked: float
    left: float
    hopeless: bool
    wait_s: int
    standing: Standing


class Budgets:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, key_id: str, limits: Limits, *, tokens: int, spend: float) -> Reservation | Refusal:
        """Take one request with at most so many tokens and so much spend, if all limits leave room for it.

        A refused request uses nothing. Raises StoreError: without the database nothing is let in.
        """
        now = self._clock()
        with self._database.write(Writers.SPENDING) as connection:
            meter = _read(connection, key_id).at(now)
            refusal = _refusal(meter, limits, tokens, spend, now)
            if refusal is not None:
                return refusal
            meter = meter.plus(tokens, spend)
            _write(connection, meter)
        return Reservation(key_id, meter.minute, meter.month, tokens, spend, _standing(meter, limits, now))


def settle(connection: Connection, reservation: Reservation, *, tokens: int, spend: float) -> None:
    """Put what was used in the place of what was reserved, in a transaction of Writers.SPENDING.

    What was reserved in a minute or month that has gone is gone with it.
    """
    ours = meters.c.key_id == reservation.key_id
    unused, unspent = reservation.tokens - tokens, reservation.spend - spend
    same_minute, same_month = meters.c.minute == reservation.minute, meters.c.month == reservation.month
    connection.execute(update(meters).where(ours, same_minute).values(tokens=meters.c.tokens - unused))
    connection.execute(update(meters).where(ours, same_month).values(spend=meters.c.spend - unspent))


@dataclass(frozen=True)
class _Meter:
    key_id: str
    minute: int = 0
    requests: int = 0
    tokens: int = 0
    month: str = ""
    spend: float = 0.0

    def at(self, now_s: float) -> Self:
        """The same meter now. A clock that is behind another server's opens no minute or month anew."""
        minute, month = int(now_s // MINUTE_S), f"{datetime.fromtimestamp(now_s, UTC):%Y-%m}"
        meter = self
        if minute > meter.minute:
            meter = replace(meter, minute=minute, requests=0, tokens=0)
        if month > meter.month:
            meter = replace(meter, month=month, spend=0.0)
        return meter

    def plus(self, tokens: int, spend: float) -> Self:
        return replace(self, requests=self.requests + 1, tokens=self.tokens + tokens, spend=self.spend + spend)


def _read(connection: Connection, key_id: str) -> _Meter:
    row = connection.execute(select(meters).where(meters.c.key_id == key_id)).mappings().one_or_none()
    return _Meter(**row) if row else _Meter(key_id)


def _write(connection: Connection, meter: _Meter) -> None:
    values = asdict(meter)
    if connection.execute(update(meters).where(meters.c.key_id == meter.key_id).values(**values)).rowcount == 0:
        connection.execute(meters.insert().values(**values))


def _refusal(meter: _Meter, limits: Limits, tokens: int, spend: float, now_s: float) -> Refusal | None:
    asked: tuple[tuple[Limit, float | None, float, float], ...] = (
        (Limit.SPEND, limits.spend_per_month, meter.spend, spend),
        (Limit.REQUESTS, limits.requests_per_minute, meter.requests, 1),
        (Limit.TOKENS, limits.tokens_per_minute, meter.tokens, tokens),
    )
    for limit, allowed, used, wanted in asked:
        if allowed is not None and used + wanted > allowed:
            wait_s = _month_s(now_s) if limit is Limit.SPEND else _minute_s(now_s)
            standing = _standing(meter, limits, now_s)
            return Refusal(limit, wanted, max(allowed - used, 0), wanted > allowed, wait_s, standing)
    return None


def _standing(meter: _Meter, limits: Limits, now_s: float) -> Standing:
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    return Standing(
        limits=limits,
        requests_left=None if requests is None else max(requests - meter.requests, 0),
        tokens_left=None if tokens is None else max(tokens - meter.tokens, 0),
        reset_s=_minute_s(now_s),
    )


def _minute_s(now_s: float) -> int:
    """Whole seconds until the next minute, at least one."""
    return MINUTE_S - int(now_s % MINUTE_S)


def _month_s(now_s: float) -> int:
    """Whole seconds until the next month."""
    now = datetime.fromtimestamp(now_s, UTC)
    next_month = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return math.ceil((next_month - now).total_seconds())
