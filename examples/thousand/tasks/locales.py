"""Languages that CLDR covers well and that the base model writes in few tokens."""

from __future__ import annotations

from functools import cache

from babel import Locale

LATIN = (
    "id ms jv af nl sv sw sq fr de it es pt ro tr da nb nn fi et is hu pl cs sk sl hr bs ca gl eu lv lt vi fil az uz tk "
    "cy ga br zu lb fo fy ia eo gd mt ast rm oc so ha qu sc"
).split()
OTHERS = "bg ru uk sr mk be kk ky el he ar fa ur hi ne mr ja ko zh yue".split()
WRITTEN = (*LATIN, *OTHERS)
"""in order of how much they are asked for in the pack, Bahasa Indonesia first"""


@cache
def language(code: str) -> str:
    """In English."""
    name = Locale.parse(code).english_name
    assert name, f"CLDR has no English name of {code}"
    return name


@cache
def territories(code: str) -> tuple[str, ...]:
    """Names of countries and areas in a language, short ones, no two the same."""
    return _short(name for key, name in Locale.parse(code).territories.items() if len(key) == 2 and key.isalpha())


@cache
def languages(code: str) -> tuple[str, ...]:
    """Names of languages in a language."""
    return _short(name for key, name in Locale.parse(code).languages.items() if len(key) <= 3)


@cache
def currencies(code: str) -> tuple[str, ...]:
    """Names of currencies in a language."""
    return _short(name for key, name in Locale.parse(code).currencies.items() if name != key)


def _short(names: object) -> tuple[str, ...]:
    assert hasattr(names, "__iter__")
    return tuple(sorted({name for name in names if 3 <= len(name) <= 24 and "(" not in name and "&" not in name}))


@cache
def territories_in_english() -> dict[str, str]:
    """ISO code -> name."""
    return dict(Locale.parse("en").territories)
