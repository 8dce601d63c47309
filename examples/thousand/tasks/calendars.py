"""Dates in styles, the calendar, and clocks of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from itertools import permutations
from random import Random
from zoneinfo import ZoneInfo

from tasks.dates import DAYS, FIRST
from tasks.task import Pair, Task

STYLES = {
    "iso": "%Y-%m-%d",
    "british": "%d/%m/%Y",
    "american": "%m/%d/%Y",
    "german": "%d.%m.%y",
    "compact": "%Y%m%d",
    "military": "%d %b %Y",
    "press": "%B %d, %Y",
    "log": "%Y/%m/%d",
}
CALENDAR: dict[str, tuple[str, Callable[[date], str]]] = {
    "quarter": ("Which quarter of the year?", lambda day: f"Q{(day.month + 2) // 3}"),
    "half": ("Which half of the year?", lambda day: f"{day.year}-H{(day.month + 5) // 6}"),
    "next-month": ("Give the next month.", lambda day: _months_on(day, 1)),
    "last-month": ("Give the month before.", lambda day: _months_on(day, -1)),
    "3-months": ("Give the month three months later.", lambda day: _months_on(day, 3)),
    "next-year": ("Give the same day a year later.", lambda day: f"{day.year + 1}-{day:%m-%d}"),
    "decade": ("Which decade?", lambda day: f"{day.year // 10}0s"),
    "month-first": ("Give the first day of this month.", lambda day: f"{day:%Y-%m}-01"),
    "month-days": ("How many days has this month?", lambda day: str((_first_of_next(day) - timedelta(1)).day)),
    "month-last": ("Give the last day of this month.", lambda day: str(_first_of_next(day) - timedelta(1))),
    "tomorrow": ("Give the next day.", lambda day: str(day + timedelta(1))),
    "yesterday": ("Give the day before.", lambda day: str(day - timedelta(1))),
    "season": ("Which season, north of the equator?", lambda day: SEASONS[day.month % 12 // 3]),
    "fiscal": ("Which fiscal year, if it begins in July?", lambda day: f"FY{day.year + (day.month > 6)}"),
    "week-in-month": ("Which seven days of the month?", lambda day: f"week {(day.day + 6) // 7}"),
}
SEASONS = ("winter", "spring", "summer", "autumn")
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "id": "Senin Selasa Rabu Kamis Jumat Sabtu Minggu".split(),
}
CLOCK: dict[str, tuple[str, Callable[[datetime], str]]] = {
    "to-12": ("Write this time with am or pm.", lambda at: at.strftime("%I:%M %p").lstrip("0").lower()),
    "hour": ("Give the full hour before.", lambda at: f"{at:%H}:00"),
    "next-hour": ("Give the next full hour.", lambda at: f"{at + timedelta(hours=1):%H}:00"),
    "hour-later": ("One hour later.", lambda at: f"{at + timedelta(hours=1):%H:%M}"),
    "part": ("Which part of the day?", lambda at: ("night", "morning", "afternoon", "evening")[at.hour // 6]),
    "military": ("Write this time as soldiers do.", lambda at: f"{at:%H%M} hours"),
    "words": ("Say the hour and the minutes.", lambda at: f"{at.hour} hours {at.minute} minutes"),
    "seconds": ("Give this time with seconds.", lambda at: f"{at:%H:%M}:00"),
    "indonesian": ("Write this time as in Indonesia.", lambda at: f"pukul {at:%H.%M}"),
    "german": ("Write this time as in Germany.", lambda at: f"{at.hour}.{at:%M} Uhr"),
    "french": ("Write this time as in France.", lambda at: f"{at.hour} h {at:%M}"),
}
LATER_HOURS = (2, 3, 5, 6, 8, 12)
CITIES = (
    "Asia/Jakarta Asia/Makassar Asia/Jayapura Asia/Singapore Asia/Tokyo Asia/Seoul Asia/Shanghai Asia/Kolkata "
    "Asia/Karachi Asia/Dhaka Asia/Kathmandu Asia/Dubai Asia/Yangon Asia/Kabul Asia/Colombo Asia/Tashkent Asia/Riyadh "
    "Africa/Nairobi Africa/Lagos Africa/Johannesburg America/Bogota America/Sao_Paulo America/La_Paz America/Guatemala "
    "Pacific/Honolulu Pacific/Port_Moresby Pacific/Tongatapu Australia/Brisbane Australia/Darwin America/Phoenix"
).split()
"""where clocks are never changed in summer"""


def tasks() -> Iterator[Task]:
    for given, wanted in permutations(STYLES, 2):
        said = f"Turn this date from {given} into {wanted} style."
        yield _task("date-style", f"{given}-{wanted}", said, partial(_style, given, wanted))
    for name, (said, of) in CALENDAR.items():
        yield _task("calendar", name, said, partial(_day, of))
    for code, names in WEEKDAYS.items():
        yield _task("calendar", f"weekday-{code}", "Which weekday is that?", partial(_weekday, names))
    for name, (said, at) in CLOCK.items():
        yield _task("clock", name, said, partial(_time, at))
    for hours in LATER_HOURS:
        later = partial(_later, hours)
        yield _task("clock", f"{hours}-hours-later", f"{hours} hours later.", partial(_time, later))
    for zone in CITIES:
        city = zone.split("/")[1].replace("_", " ")
        name = city.lower().replace(" ", "-")
        yield _zoned("from-utc", name, f"What time is it in {city}, if this is UTC?", partial(_zone, zone))
        yield _zoned("to-utc", name, f"Give this time of {city} in UTC.", partial(_zone_back, zone))


def _task(family: str, name: str, instruction: str, draw: Callable[[Random], Pair]) -> Task:
    return Task(f"{family}-{name}", family, "en", instruction, ("python",), draw)


def _zoned(family: str, name: str, instruction: str, draw: Callable[[Random], Pair]) -> Task:
    return Task(f"{family}-{name}", family, "en", instruction, ("tzdata",), draw)


def _style(given: str, wanted: str, random: Random) -> Pair:
    day = _any_day(random)
    return day.strftime(STYLES[given]), day.strftime(STYLES[wanted])


def _day(of: Callable[[date], str], random: Random) -> Pair:
    day = _any_day(random)
    return day.isoformat(), of(day)


def _weekday(names: list[str], random: Random) -> Pair:
    """Some days after or before a weekday."""
    start, days = random.randrange(7), random.randint(1, 13)
    sign = random.choice((1, -1))
    text = f"{names[start]} {'+' if sign > 0 else '-'} {days}"
    return text, names[(start + sign * days) % 7]


def _time(of: Callable[[datetime], str], random: Random) -> Pair:
    at = _any_time(random)
    return f"{at:%H:%M}", of(at)


def _later(hours: int, at: datetime) -> str:
    return f"{at + timedelta(hours=hours):%H:%M}"


def _zone(zone: str, random: Random) -> Pair:
    at = _any_time(random)
    return f"{at:%H:%M}", f"{at + _offset(zone):%H:%M}"


def _zone_back(zone: str, random: Random) -> Pair:
    text, answer = _zone(zone, random)
    return answer, text


def _offset(zone: str) -> timedelta:
    """The same all year round."""
    at = [datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7)]
    first, second = at
    assert first is not None, f"{zone} has no offset"
    assert first == second, f"clocks are changed in {zone}"
    return first


def _any_day(random: Random) -> date:
    return FIRST + timedelta(days=random.randrange(DAYS))


def _any_time(random: Random) -> datetime:
    return datetime(2026, 1, 1) + timedelta(minutes=random.randrange(24 * 60))


def _months_on(day: date, months: int) -> str:
    month = day.year * 12 + day.month - 1 + months
    return f"{month // 12}-{month % 12 + 1:02}"


def _first_of_next(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
