"""Figures for people, and plots of them as inline SVG, whose colours come from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from markupsafe import Markup, escape

from chiliad.evals.plots import Curve, loss_curve, score_bar
from chiliad.ledger.report import Cost
from chiliad.server.web.language import Words
from chiliad.store import JobEvent

SIGNIFICANT = 3
PER = 1000
"""answers that a price is told for: that of one is too small to read"""


def percent(words: Words, share: float) -> str:
    return f"{words.number(100 * share, 1)} %"


def money(words: Words, value: float | None) -> str:
    """With as many decimals as three figures take, at least two."""
    if value is None:
        return "–"
    decimals = 2 if value == 0 else max(2, SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))
    return words.number(value, decimals)


def per_thousand(words: Words, value: float | None) -> str:
    return money(words, None if value is None else PER * value)


def duration(words: Words, seconds: float) -> str:
    if seconds < 1:
        return words("{n} ms", n=words.number(1000 * seconds))
    if seconds < 60:
        return words("{n} s", n=words.number(seconds, 1))
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return words("{h} h {m} min", h=hours, m=minutes) if hours else words("{m} min {s} s", m=minutes, s=rest)


def moment(at: float | datetime) -> Markup:
    """To the minute, in UTC."""
    when = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    when = when.astimezone(UTC)
    return Markup(f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{when:%Y-%m-%d %H:%M}</time>')


def bar(words: Words, title: str, score: float, low: float, high: float) -> Markup:
    """A score between 0 and 1 with its interval."""
    between = words("95 % interval {low} to {high}", low=percent(words, low), high=percent(words, high))
    return score_bar(score, low, high, f"{title}: {percent(words, score)}, {between}")


def share_bar(share: float, name: str) -> Markup:
    """How far something is, from 0 to 1."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    return Markup(
        f'<svg class="bar" role="img" aria-label="{escape(name)}" width="100%" height="10">'
        '<rect class="track" width="100%" height="100%" rx="5"/>'
        f'<rect class="fill" width="{width}" height="100%" rx="5"/></svg>'
    )


def training_curve(events: Sequence[JobEvent]) -> Curve | None:
    """The losses that a job has told so far."""
    told = [event.data for event in events if event.data and "step" in event.data]
    return loss_curve(_points(told, "loss"), _points(told, "dev_loss"))


def day_bars(words: Words, costs: Sequence[Cost], days: Sequence[date], currency: str) -> Markup:
    """A column for each of the days, which are in order; none for a day without an answer."""
    spent = {date.fromisoformat(one.of): one.cost for one in costs}
    top = max(spent.values()) or 1.0
    columns = "".join(
        f'<rect class="fill" {_column(n, len(days), spent[day] / top)}>'
        f"<title>{day}: {money(words, spent[day])} {escape(currency)}</title></rect>"
        for n, day in enumerate(days)
        if day in spent
    )
    name = words(
        "Cost per day from {first} to {last}; the most is {top}", first=days[0], last=days[-1], top=money(words, top)
    )
    return Markup(
        f'<svg class="days" role="img" aria-label="{escape(name)} {escape(currency)}" width="100%" height="160">'
        f'<line class="grid" x1="0" x2="100%" y1="100%" y2="100%"/>{columns}</svg>'
    )


def _column(n: int, of: int, share: float) -> str:
    """Where the n-th column lies, and how high it is, with a gap beside it."""
    step, height = 100 / of, 100 * share
    return f'x="{n * step:.2f}%" y="{100 - height:.2f}%" width="{0.8 * step:.2f}%" height="{height:.2f}%"'


def _points(told: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(data["step"], data[name]) for data in told if data.get(name) is not None]
