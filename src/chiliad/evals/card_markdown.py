"""A card as Markdown. The first line is the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from chiliad.evals.verdict import percent
from chiliad.evals.wording import (
    Facts,
    cost_facts,
    decoding_sentence,
    interval_text,
    kind_text,
    leak_sentence,
    metric_title,
    provenance_facts,
    test_sentence,
    training_facts,
)

if TYPE_CHECKING:
    from chiliad.evals.card import Card, ScoreRow


def to_markdown(card: Card) -> str:
    """Everything on the card but the plots. Texts from data are escaped, so that none of them becomes a heading."""
    subject = card.subject
    parts = [
        f"**{_text(card.verdict.line)}**",
        f"# {_text(subject.name)}@{subject.version}",
        f"Task: {kind_text(card.kind)}. Made {_text(subject.created)}.",
        f"## {_text(metric_title(card.metric))} beside its baselines",
        _scores(card),
        _text(test_sentence(card)),
        _list(_text(note) for note in card.notes),
        "## Where it comes from",
        _facts(provenance_facts(card)),
        _text(f"{leak_sentence(card)} {decoding_sentence(card)}"),
        "## Training",
        _facts(training_facts(card)),
        "## Cost",
        _facts(cost_facts(card)),
        "## Known failures",
        *_failures(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(card: Card) -> str:
    rows = sorted((card.expert, *card.baselines), key=lambda row: -row.score)
    table = _table(
        ("", metric_title(card.metric), "95 % interval", "test rows", "development", "seconds"),
        [_score_cells(card, row) for row in rows],
    )
    others = ", ".join(f"{metric_title(name)} {percent(value)}" for name, value in card.other_scores.items())
    return f"{table}\n\nThis expert by other measures: {_text(others)}." if others else table


def _score_cells(card: Card, row: ScoreRow) -> tuple[str, ...]:
    title = f"**{row.title}**" if row is card.expert else _text(row.title)
    return (
        f"{title} (best baseline)" if row.name == card.best else title,
        percent(row.score),
        interval_text(row.low, row.high),
        f"{row.rows:,}",
        "" if row.dev_score is None else percent(row.dev_score),
        f"{row.seconds:.1f}",
    )


def _failures(card: Card) -> list[str]:
    if not card.mistakes:
        return ["None on the test rows."]
    mistakes = _table(
        ("input", "expected", "got"), [(_text(m.input), _text(m.expected), _text(m.got)) for m in card.mistakes]
    )
    if not card.confused:
        return [mistakes]
    pairs = [(_text(pair.expected), _text(pair.got), str(pair.count)) for pair in card.confused]
    return [mistakes, "Most confused:", _table(("expected", "got", "times"), pairs)]


def _facts(facts: Facts) -> str:
    return _list(f"{_text(name)}: {_text(value)}" for name, value in facts)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _text(text: str) -> str:
    """One line in which nothing is Markdown or HTML."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", flat)
