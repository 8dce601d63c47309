"""Telephone numbers, as each country writes, dials and sorts them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from random import Random

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from tasks.locales import territories_in_english
from tasks.task import Pair, Task

REGIONS = (
    "ID MY SG PH TH VN IN PK BD LK NP JP KR CN TW HK AU NZ MX BR AR CL CO PE EC BO PY UY VE GB IE FR DE AT CH NL BE "
    "LU ES PT IT GR TR CY MT SE NO DK FI IS EE LV LT PL CZ SK HU RO BG HR SI RS BA MK AL UA BY MD GE AM AZ KZ UZ RU IL JO "
    "LB SA AE QA KW BH OM EG MA DZ TN NG GH KE TZ UG ZA ZM ZW MZ AO CM CI SN ET RW BW NA MU"
).split()
KINDS = {"mobile": PhoneNumberType.MOBILE, "fixed": PhoneNumberType.FIXED_LINE}


def tasks() -> Iterator[Task]:
    for region in REGIONS:
        place = territories_in_english()[region]
        told = partial(_task, region)
        yield told("phone-abroad", f"Write this number of {place} for callers from abroad.", partial(_abroad, region))
        yield told("phone-home", f"Write this number as people in {place} do.", partial(_home, region))
        if all(_example(region, kind) for kind in KINDS):
            told_kind = f"Say whether this number of {place} is mobile or fixed."
            yield told("phone-kind", told_kind, partial(_kind, region))


def _task(region: str, family: str, instruction: str, draw: partial[Pair]) -> Task:
    return Task(f"{family}-{region.lower()}", family, region, instruction, ("phonenumbers",), draw)


def _abroad(region: str, random: Random) -> Pair:
    number = _any(region, random)
    digits = "".join(filter(str.isdigit, phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)))
    return digits, phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


def _home(region: str, random: Random) -> Pair:
    number = _any(region, random)
    given = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return given, phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)


def _kind(region: str, random: Random) -> Pair:
    kind = random.choice(list(KINDS))
    number = _numbered(region, kind, random)
    found = phonenumbers.number_type(number)
    given = "".join(filter(str.isdigit, phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)))
    return (given, kind) if found == KINDS[kind] else ("", "")


def _any(region: str, random: Random) -> PhoneNumber:
    kinds = [kind for kind in KINDS if _example(region, kind)]
    return _numbered(region, random.choice(kinds), random)


def _numbered(region: str, kind: str, random: Random) -> PhoneNumber:
    """A valid number of that kind: the example's digits redrawn, from as far ahead as it stays one."""
    example = _example(region, kind)
    assert example is not None, f"{region} has no {kind} numbers"
    digits = str(example.national_number)
    for kept in (1, 1, 1, 2, 2, 3, 3, 4):
        drawn = digits[:kept] + "".join(str(random.randint(0, 9)) for _ in digits[kept:])
        number = PhoneNumber(example.country_code, int(drawn), italian_leading_zero=example.italian_leading_zero)
        if phonenumbers.is_valid_number_for_region(number, region) and phonenumbers.number_type(number) == KINDS[kind]:
            return number
    return example


@cache
def _example(region: str, kind: str) -> PhoneNumber | None:
    found = phonenumbers.example_number_for_type(region, KINDS[kind])
    return found if found is not None and phonenumbers.number_type(found) == KINDS[kind] else None
