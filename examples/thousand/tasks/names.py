"""Names of countries, languages and currencies: what they name, in which language, listed, without accents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache, partial
from random import Random

from anyascii import anyascii
from babel.lists import format_list

from tasks.locales import LATIN, WRITTEN, currencies, language, languages, territories
from tasks.task import Pair, Task, plain

NAMED = tuple(code for code in WRITTEN if code not in ("ia", "mt", "qu"))
ACCENTED = "fr de es pt ro tr fi et is hu pl cs sk sl hr ca gl lv lt vi az ga br fo sv gd oc ast".split()
ROMANISED = "ru uk bg sr mk be kk ky el he ar fa hi ja ko hy ka".split()
RELATED = (
    "id ms fil jv", "id ms sw", "da nb sv", "da sv is fo", "nb nn is", "fi et hu", "lv lt et", "cs sk pl", "cs sk sl",
    "hr sl cs pl", "es pt it", "es pt gl", "es ca gl", "es ast an", "fr it ro", "fr oc ca", "it sc co", "it rm fur",
    "de nl lb", "de nl af", "nl af fy", "de gsw nds", "en cy ga", "ga gd cy", "cy br kw", "tr az uz", "tr az tk",
    "ru uk bg", "ru be uk", "bg mk sr", "ru kk ky", "ru mn tg", "ar fa ur", "hi ne mr", "zh ja ko", "zu xh sw",
    "ha yo ig", "so om sw", "eu es fr", "sq ro el", "vi id fil", "mi haw to", "eo ia io", "en de fr es",
    "it es fr pt ro", "da nl de en", "pl hu ro tr",
)  # fmt: skip


def tasks() -> Iterator[Task]:
    for code in NAMED:
        name = language(code)
        said = f"Say whether this {name} name is that of a country, a language or a currency."
        yield Task(f"what-is-{code}", "what-is", code, said, ("babel",), partial(_what, code))
    for code in sorted(set(NAMED) & set(LATIN)):  # elsewhere three names are too many tokens
        said = f"Join these with the {language(code)} word for and."
        yield Task(f"list-{code}", "list", code, said, ("babel",), partial(_list, "standard", code))
        said = f"Join these with the {language(code)} word for or."
        yield Task(f"choice-{code}", "choice", code, said, ("babel",), partial(_list, "or", code))
    for group in RELATED:
        codes = tuple(code for code in group.split() if len(territories(code)) > 100)
        if len(codes) > 1:
            said = f"Say which language this is: {', '.join(map(language, codes))}."
            name = f"which-{'-'.join(codes)}"
            yield Task(name, "which-language", "-".join(codes), said, ("babel",), partial(_which, codes))
    for code in ACCENTED:
        said = f"Write this {language(code)} name without accents."
        yield Task(f"accents-{code}", "accents", code, said, ("babel", "python"), partial(_accents, code))
    for code in ROMANISED:
        said = f"Write this {language(code)} name in Latin letters."
        yield Task(f"romanise-{code}", "romanise", code, said, ("babel", "anyascii"), partial(_romanise, code))


def _what(code: str, random: Random) -> Pair:
    kinds = {"country": territories(code), "language": languages(code), "currency": currencies(code)}
    kind = random.choice(list(kinds))
    name = random.choice(kinds[kind] or territories(code))
    meant = [one for one, names in kinds.items() if name in names]
    return (name, meant[0]) if len(meant) == 1 else ("", "")


def _list(style: str, code: str, random: Random) -> Pair:
    short = [name for name in territories(code) if len(name) <= 8 and "," not in name]
    items = random.sample(short, random.choice((2, 3, 3, 4)))
    return "; ".join(items), plain(format_list(items, style=style, locale=code))


def _which(codes: tuple[str, ...], random: Random) -> Pair:
    """A name that only one of the languages has."""
    code = random.choice(codes)
    name = random.choice(_all_names(code))
    own = not any(name in _all_names(other) for other in codes if other != code)
    return (name, language(code)) if own else ("", "")


def _accents(code: str, random: Random) -> Pair:
    name = random.choice(_all_names(code))
    bare = "".join(one for one in unicodedata.normalize("NFD", name) if not unicodedata.combining(one))
    return (name, bare) if bare != name or random.random() < 0.2 else ("", "")


def _romanise(code: str, random: Random) -> Pair:
    name = random.choice(_all_names(code))
    return (name, plain(anyascii(name))) if len(name) <= 12 else ("", "")


@cache
def _all_names(code: str) -> tuple[str, ...]:
    return tuple(sorted({*territories(code), *languages(code), *currencies(code)}))
