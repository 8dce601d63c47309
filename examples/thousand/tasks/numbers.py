"""Numbers, money, measures and plurals, as the languages of the world write and read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

from babel import Locale
from babel.numbers import format_compact_decimal, format_currency, format_decimal
from babel.units import format_unit

from tasks.locales import WRITTEN, language
from tasks.task import Pair, Task, plain

CURRENCIES = ("USD", "EUR", "GBP", "JPY", "IDR", "INR", "BRL", "CHF")
MEASURES = (
    "length-kilometer",
    "length-meter",
    "length-centimeter",
    "mass-kilogram",
    "mass-gram",
    "volume-liter",
    "duration-hour",
    "duration-minute",
    "duration-second",
    "duration-day",
    "duration-week",
    "duration-month",
    "duration-year",
    "area-square-meter",
)
REGIONAL = ("en", "de_CH", "de_AT", "hi", "fr_CH", "en_ZA", "es_CR", "pt_PT")
"""besides languages: where the same language writes other separators"""


def tasks() -> Iterator[Task]:
    for code in WRITTEN:
        name = language(code)
        told = partial(_task, code)
        yield told("money-write", f"Write this amount of money in {name}.", partial(_money, code))
        yield told(
            "money-read", f"Give this {name} amount as a currency code and a number.", partial(_money_read, code)
        )
        yield told("measure", f"Write this measure in {name}.", partial(_measure, code))
        if "long" in Locale.parse(code).compact_decimal_formats:
            yield told("compact", f"Shorten this number in {name}.", partial(_compact, code))
        if Locale.parse(code).plural_form.tags:
            yield told("plural", f"Say which plural form {name} uses for this number.", partial(_plural, code))
    for code in (*REGIONAL, *WRITTEN):
        name = language(code)
        yield _task(code, "number-write", f"Write this number as in {name}.", partial(_number, code))
        yield _task(code, "number-read", f"Give this {name} number plainly.", partial(_number_read, code))


def _task(code: str, family: str, instruction: str, draw: partial[Pair]) -> Task:
    return Task(f"{family}-{code.lower().replace('_', '-')}", family, code, instruction, ("babel",), draw)


def _money(code: str, random: Random) -> Pair:
    currency = random.choice(CURRENCIES)
    amount = random.choice((random.randint(1, 999), random.randint(1000, 99_999)))
    cents = 0 if currency in ("JPY", "IDR") else random.choice((0, 50, random.randint(1, 99)))
    given = f"{currency} {amount}" + (f".{cents:02}" if cents else "")
    return given, plain(format_currency(amount + cents / 100, currency, locale=code))


def _money_read(code: str, random: Random) -> Pair:
    text, answer = _money(code, random)
    return answer, text


def _measure(code: str, random: Random) -> Pair:
    unit = random.choice(MEASURES)
    number: float = random.choice((1, random.randint(2, 30), random.randint(2, 900), random.randint(1, 99) / 10))
    told = plain(format_unit(number, unit, locale=code))
    return ("", "") if unit in told else (format_unit(number, unit, locale="en"), told)  # CLDR has no word for some


def _compact(code: str, random: Random) -> Pair:
    number = int(10 ** random.uniform(3.1, 9.9))
    return str(number), plain(format_compact_decimal(number, format_type="long", locale=code, fraction_digits=1))


def _plural(code: str, random: Random) -> Pair:
    """Each form about as often as the others; numbers up to 300 and some with a decimal."""
    rule = Locale.parse(code).plural_form
    wanted = random.choice(sorted(rule.tags | {"other"}))
    for _ in range(200):
        whole = random.choice((random.randint(0, 30), random.randint(0, 300)))
        number = f"{whole}.{random.randint(1, 9)}" if random.random() < 0.25 else str(whole)
        found = rule(float(number) if "." in number else whole)
        if found == wanted:
            break
    return number, found


def _number(code: str, random: Random) -> Pair:
    whole = int(10 ** random.uniform(0, 7.9))
    given = f"{whole}.{random.randint(1, 99):02}".rstrip("0") if random.random() < 0.6 else str(whole)
    return given, plain(format_decimal(float(given), locale=code))


def _number_read(code: str, random: Random) -> Pair:
    text, answer = _number(code, random)
    return answer, text
