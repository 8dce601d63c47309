"""The catalogue says everything that the pages say, and nothing else; and who gets which language."""

import re
from pathlib import Path

import pytest
from starlette.requests import Request

from chiliad.data.personal import PersonalKind
from chiliad.data.task import TaskKind
from chiliad.server.web import language
from chiliad.server.web.cards import TONES
from chiliad.server.web.navigation import LINKS
from chiliad.store import JobState, ReviewOrder, Role

WEB = Path(language.__file__).parent
LITERAL = r"""\b(?:t|words)\(\s*(?:"([^"]*)"|'([^']*)')"""
NAMES = r"{(\w+)}"


def said():
    """Every English text that is looked up: those in templates and code, and those that are values of our own."""
    sources = [*WEB.glob("templates/*.html"), *WEB.glob("*.py")]
    literal = {a or b for path in sources for a, b in re.findall(LITERAL, path.read_text("utf-8"))}
    values = {value for kind in (JobState, ReviewOrder, Role, TaskKind, PersonalKind) for value in kind}
    kinds = re.findall(
        r'"\w+": "([^"]+)"', (WEB / "templates" / "_macros.html").read_text("utf-8").split("kind_title")[1]
    )
    badges = {badge for _, badge in TONES.values()} | {"Not evaluated"}
    speakers = {"system", "user", "assistant"}
    return literal | values | badges | speakers | {link.title for link in LINKS} | set(kinds)


@pytest.mark.parametrize("code", [code for code in language.LANGUAGES if code != language.DEFAULT])
def test_the_catalogue_is_complete_and_has_nothing_left_over(code):
    assert set(language.WORDS[code].catalogue) == said()


@pytest.mark.parametrize("code", language.LANGUAGES)
def test_a_translation_fills_in_the_same_names(code):
    for english, other in language.WORDS[code].catalogue.items():
        assert set(re.findall(NAMES, english)) == set(re.findall(NAMES, other)), english


@pytest.mark.parametrize(
    ("accepted", "cookie", "query", "code"),
    [
        ("", "", "", "en"),
        ("id-ID,id;q=0.9,en;q=0.8", "", "", "id"),
        ("fr, en;q=0.5, id;q=0.7", "", "", "id"),
        ("id;q=0, en", "", "", "en"),
        ("id;q=x", "", "", "en"),
        ("id", "en", "", "en"),
        ("en", "en", "id", "id"),
        ("en", "xx", "<b>", "en"),
    ],
)
def test_the_chosen_language_comes_before_the_browsers(accepted, cookie, query, code):
    headers = [(b"accept-language", accepted.encode()), (b"cookie", f"{language.COOKIE}={cookie}".encode())]
    scope = {"type": "http", "headers": headers, "query_string": f"lang={query}".encode()}
    assert language.words_for(Request(scope)).code == code


def test_numbers_have_the_marks_of_their_language():
    assert language.WORDS["en"].number(1234.5, 1) == "1,234.5"
    assert language.WORDS["id"].number(1234.5, 1) == "1.234,5"
