"""Whose answers the tasks give, and under which licence. All of them are permissive: nothing else may be listed here."""

from __future__ import annotations

from dataclasses import dataclass

PERMISSIVE = frozenset({"Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0", "Unicode-3.0"})


@dataclass(frozen=True)
class Licence:
    """distribution: its name among installed packages, None for what comes with Python; data: of the data it brings."""

    distribution: str | None
    code: str
    data: str
    gives: str


LICENCES = {
    "anyascii": Licence("anyascii", "ISC", "ISC", "romanisation"),
    "babel": Licence("Babel", "BSD-3-Clause", "Unicode-3.0", "dates, numbers, money, units, plurals, lists, names"),
    "inflect": Licence("inflect", "MIT", "MIT", "English plurals, articles, participles, ordinals"),
    "phonenumbers": Licence("phonenumbers", "Apache-2.0", "Apache-2.0", "telephone numbers of the world"),
    "python": Licence(None, "PSF-2.0", "PSF-2.0", "text, records, arithmetic, calendars, unicodedata"),
    "tzdata": Licence("tzdata", "Apache-2.0", "Apache-2.0", "time zones"),
    "unicode-rbnf": Licence("unicode-rbnf", "MIT", "Unicode-3.0", "numbers in words"),
}
