"""Dates, quarters and times from now, as the languages of the world write and read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from random import Random

from babel.dates import format_date, format_timedelta

from tasks.locales import WRITTEN, language
from tasks.task import Pair, Task, plain

FIRST, DAYS = date(1990, 1, 1), 365 * 45
SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}


def tasks() -> Iterator[Task]:
    for code in WRITTEN:
        name = language(code)
        told = partial(_task, code)
        yield told("date-write", f"Write this date in {name}.", partial(_write, code))
        yield told("date-read", f"Give this {name} date as year-month-day.", partial(_read, code))
        yield told("date-full", f"Translate this date into {name}.", partial(_full, code))
        yield told("quarter", f"Say in {name} which quarter of the year this is.", partial(_quarter, code))
        yield told("from-now", f"Say in {name} when this is.", partial(_from_now, code))


def _task(code: str, family: str, instruction: str, draw: partial[Pair]) -> Task:
    return Task(f"{family}-{code}", family, code, instruction, ("babel",), draw)


def _write(code: str, random: Random) -> Pair:
    day = _day(random)
    return day.isoformat(), plain(format_date(day, "long", locale=code))


def _read(code: str, random: Random) -> Pair:
    text, answer = _write(code, random)
    return answer, text


def _full(code: str, random: Random) -> Pair:
    day = _day(random)
    return format_date(day, "full", locale="en"), plain(format_date(day, "full", locale=code))


def _quarter(code: str, random: Random) -> Pair:
    day = _day(random)
    return day.isoformat(), plain(format_date(day, "QQQQ y", locale=code))


def _from_now(code: str, random: Random) -> Pair:
    unit, number = random.choice(list(SECONDS)), random.choice((1, random.randint(2, 20), random.randint(2, 60)))
    sign = random.choice((1, -1))
    words = f"{number} {unit}{'s' if number > 1 else ''}"
    span = timedelta(seconds=sign * number * SECONDS[unit])
    told = format_timedelta(span, unit, threshold=10**9, add_direction=True, locale=code)
    return (f"in {words}" if sign > 0 else f"{words} ago"), plain(told)


def _day(random: Random) -> date:
    return FIRST + timedelta(days=random.randrange(DAYS))
