"""The languages of the pages. English stands in the templates themselves; the catalogue has the others for it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request

COOKIE = "chiliad_language"
PARAMETER = "lang"
DEFAULT = "en"
LANGUAGES = {"en": "English", "id": "Bahasa Indonesia"}
"""each by its own name for itself"""


@dataclass(frozen=True)
class Words:
    """A language in use: called with an English text it says it, with the values for the names in braces."""

    code: str
    catalogue: Mapping[str, str]

    def __call__(self, english: str, **values: object) -> str:
        text = self.catalogue.get(english, english)
        return text.format(**values) if values else text

    def number(self, value: float, decimals: int = 0) -> str:
        """With this language's marks: 1,234.5 in English, 1.234,5 in Indonesian."""
        text = f"{value:,.{decimals}f}"
        return text if self.code == DEFAULT else text.translate(_MARKS)


_MARKS = str.maketrans(",.", ".,")


def _read() -> dict[str, Words]:
    """`catalogue.toml` has a table for each language but English."""
    tables = tomllib.loads(files("chiliad.server.web").joinpath("catalogue.toml").read_text("utf-8"))
    return {code: Words(code, tables.get(code, {})) for code in LANGUAGES}


WORDS = _read()


def words_for(request: Request) -> Words:
    """The language that was chosen, or else the first that the browser asks for and we have."""
    chosen = (request.query_params.get(PARAMETER), request.cookies.get(COOKIE))
    wanted = _accepted(request.headers.get("accept-language", ""))
    return next((WORDS[code] for code in (*chosen, *wanted) if code in WORDS), WORDS[DEFAULT])


def _accepted(header: str) -> list[str]:
    """The main parts of the languages in an Accept-Language header, best first (RFC 9110, 12.5.4)."""
    weighed = []
    for part in header.split(","):
        tag, _, weight = part.partition(";")
        quality = _quality(weight)
        if quality > 0:
            weighed.append((quality, tag.strip().lower().partition("-")[0]))
    return [code for _, code in sorted(weighed, key=lambda one: -one[0])]


def _quality(weight: str) -> float:
    try:
        return float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return 0.0
