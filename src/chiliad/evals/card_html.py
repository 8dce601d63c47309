"""A card as one HTML page that stands alone: no request leaves it, and it opens from disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from chiliad.evals import wording
from chiliad.evals.mistakes import Confusion
from chiliad.evals.plots import Curve, loss_curve, score_bar
from chiliad.evals.verdict import Outcome, percent

if TYPE_CHECKING:
    from chiliad.evals.card import Card, ScoreRow


def to_html(card: Card) -> str:
    """The whole card. Every text from data is escaped; a content security policy forbids scripts and requests."""
    return _template().render(
        card=card,
        badge=_BADGES[card.verdict.outcome],
        contenders=_contenders(card),
        curve=_curve(card),
        heat=_heat(card.confusion) if card.confusion else (),
        percent=percent,
        words=wording,
    )


@dataclass(frozen=True)
class Badge:
    tone: str
    sign: str
    word: str


_BADGES = {
    Outcome.EXPERT_WINS: Badge("good", "✓", "Better than its baselines"),
    Outcome.UNCLEAR: Badge("even", "≈", "Not proven"),
    Outcome.BASELINE_TIES: Badge("even", "=", "No better than a baseline"),
    Outcome.BASELINE_WINS: Badge("bad", "✕", "Worse than a baseline"),
    Outcome.VOID: Badge("bad", "!", "Void"),
}


@dataclass(frozen=True)
class Contender:
    row: ScoreRow
    bar: Markup
    role: str


def _contenders(card: Card) -> list[Contender]:
    """The expert and its baselines, the best score on top."""
    rows = sorted((card.expert, *card.baselines), key=lambda row: -row.score)
    return [Contender(row, _bar(row), _role(card, row)) for row in rows]


def _bar(row: ScoreRow) -> Markup:
    name = f"{row.title}: {percent(row.score)}, 95 % interval {wording.interval_text(row.low, row.high)}"
    return score_bar(row.score, row.low, row.high, name)


def _role(card: Card, row: ScoreRow) -> str:
    if row is card.expert:
        return "expert"
    return "best" if row.name == card.best else "other"


def _curve(card: Card) -> Curve | None:
    train, dev = (card.subject.training.get(name) or () for name in wording.CURVES)
    return loss_curve(train, dev)


@dataclass(frozen=True)
class HeatRow:
    label: str
    cells: tuple[tuple[int, float, str], ...]
    """(count, share of the row's examples, "right" or "wrong")"""


def _heat(confusion: Confusion) -> list[HeatRow]:
    rows = []
    for label, counts in zip(confusion.labels, confusion.counts, strict=True):
        total = sum(counts) or 1
        cells = tuple(
            (count, count / total, "right" if column == label else "wrong")
            for column, count in zip(confusion.columns, counts, strict=True)
        )
        rows.append(HeatRow(label, cells))
    return rows


@cache
def _template() -> Template:
    source = resources.files("chiliad.evals").joinpath("card.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)
