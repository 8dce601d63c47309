"""The co-pilot's grammar as the engine follows it: plain SELECTs on the tables' own columns, and nothing else."""

import pytest

from chiliad.copilot import select_grammar
from chiliad.engine import Grammar, GrammarKind
from chiliad.engine.grammar import Grammars
from chiliad.store import Column, Table

TABLES = [
    Table("games", (Column("home_team", False), Column("home_team_score", False), Column("crowd", True))),
    Table("two words", (Column("left side", False), Column("n", True))),
    Table("numbers", (Column("n", True),)),
]


@pytest.fixture(scope="module")
def follows(tiny):
    tokenizer, source = tiny.tokenizer, select_grammar(TABLES)
    grammars = Grammars(tokenizer)

    def told(text):
        path = grammars.start(Grammar(GrammarKind.LARK, source))
        for token in tokenizer.encode(text):
            if token not in path.allowed:
                return False
            path.take(token)
        return path.complete or any(end in path.allowed for end in tokenizer.eos_ids)

    return told


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT home_team FROM games",
        "SELECT home_team FROM games WHERE home_team_score = '14.11 (95)' AND crowd > 20000",
        "SELECT MAX(crowd) FROM games WHERE home_team = 'St Kilda'",
        "SELECT COUNT(DISTINCT home_team), home_team FROM games GROUP BY home_team ORDER BY COUNT(*) DESC LIMIT 5",
        'SELECT "left side" FROM "two words" WHERE "left side" LIKE \'%it\'\'s%\' OR n <= -1.5',
        "SELECT n FROM numbers WHERE n = 7",
    ],
)
def test_plain_queries_are_in_it(follows, sql):
    assert follows(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT away_team FROM games",
        "SELECT n FROM games",
        "SELECT crowd FROM nowhere",
        "SELECT home_team FROM games WHERE crowd = 'many'",
        "SELECT home_team FROM games WHERE home_team = Geelong",
        "DELETE FROM games",
        "SELECT home_team FROM games; DELETE FROM games",
        "SELECT home_team FROM games WHERE",
    ],
)
def test_what_would_not_run_is_not(follows, sql):
    assert not follows(sql)
