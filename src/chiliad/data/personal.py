"""Likely personal data in text: found by its form, and by its check digits where it has any.

Found values are never returned, stored or shown; only which kinds there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate, combinations

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_PHONE = re.compile(
    r"""(?<![\w.,:/#+-]) (?:
        (?:\+|00(?=\d{1,3}[ ./-])) (?:[17]|[2-9]\d{1,2}) (?:[ ./-]?\(?\d{1,4}\)?){2,6}  # +62 812 3456 7890
      | \(?0[1-9]\d{0,4}\)? (?:[ .-]?\d{2,4}){2,4}                      # 0812-3456-7890, (020) 7946 0958
      | (?:1[ .-])? (?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .-]) \d{3}[ .-]\d{4}  # (212) 555-0142
    ) (?![\w-])""",
    re.VERBOSE,
)
_PHONE_DIGITS_MIN = 9
_DATE = re.compile(r"\d{1,2}[. /-]\d{1,2}[. /-]\d{2,4}(?!\d)")
_DIGIT_GROUPS = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,30}(?!\w)")
_CARD = re.compile(
    r"""4\d{12}(?:\d{3}){0,2}                                                     # Visa
      | 5[1-5]\d{14} | 2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}          # Mastercard
      | 3[47]\d{13}                                                               # American Express
      | 3(?:0[0-5]|[68]\d)\d{11}                                                  # Diners Club
      | 35(?:2[89]|[3-8]\d)\d{12}                                                 # JCB
      | 6(?:011|4[4-9]\d|5\d\d)\d{12} | 62\d{14,17}                               # Discover, UnionPay
    """,
    re.VERBOSE,
)
_CARD_DIGITS = range(13, 20)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[ -]?[A-Z0-9])")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV",
        22: "BG BH DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


class PersonalKind(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"


def personal_kinds(text: str) -> frozenset[PersonalKind]:
    """Tell which kinds of personal data the text seems to hold.

    E-mail addresses and telephone numbers by their form; payment cards by issuer, length and Luhn digit (ISO/IEC
    7812-1); bank accounts by country, length and check digits (ISO 13616).
    """
    found = {PersonalKind.EMAIL} if "@" in text and _EMAIL.search(text) else set()
    if not re.search(r"\d", text):
        return frozenset(found)
    if any(map(_is_iban, _iban_candidates(text))):
        found.add(PersonalKind.IBAN)
    if any(map(_is_card, _card_candidates(text))):
        found.add(PersonalKind.CARD)
    if any(_is_phone(match.group()) for match in _PHONE.finditer(_DIGIT_GROUPS.sub(_without_card, text))):
        found.add(PersonalKind.PHONE)
    return frozenset(found)


def _iban_candidates(text: str) -> Iterator[str]:
    """Yield from each country code as many letters and digits as its accounts have, single spaces left out."""
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match.group()[:2])
        if length is None:
            continue
        account = re.compile(rf"[A-Z0-9](?:[ -]?[A-Z0-9]){{{length - 1}}}(?![A-Za-z0-9])").match(text, match.start())
        if account:
            yield re.sub(r"[ -]", "", account.group())


def _is_iban(account: str) -> bool:
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1


def _card_candidates(text: str) -> Iterator[str]:
    """Yield every run of neighbouring digit groups: an expiry date or a code may stand next to the number."""
    for match in _DIGIT_GROUPS.finditer(text):
        groups = re.split(r"[ -]", match.group())
        digits, edges = "".join(groups), accumulate(map(len, groups), initial=0)
        yield from (digits[first:last] for first, last in combinations(edges, 2) if last - first in _CARD_DIGITS)


def _is_card(digits: str) -> bool:
    return bool(_CARD.fullmatch(digits)) and _luhn(digits) % 10 == 0


def _luhn(digits: str) -> int:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return sum(map(int, digits[-1::-2])) + sum(doubled)


def _without_card(match: re.Match[str]) -> str:
    return "" if any(map(_is_card, _card_candidates(match.group()))) else match.group()


def _is_phone(number: str) -> bool:
    return sum(map(str.isdigit, number)) >= _PHONE_DIGITS_MIN and not _DATE.match(number)
