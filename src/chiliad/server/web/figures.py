"""Figures for people, and plots of them as inline SVG, whose colours come from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    return f"{words.number(100 * share, 1)}\N{NO-BREAK SPACE}%"


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
        return words("{n} s", n=words.number(seconds, 1 if seconds < 10 else 0))
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return words("{h} h {m} min", h=hours, m=minutes)
    return words("{m} min {s} s", m=minutes, s=rest) if rest else words("{m} min", m=minutes)


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


@dataclass(frozen=True)
class UsageChart:
    """Columns of answers and a line of prices over the same days, and what stands at the top of each axis."""

    svg: Markup
    answers_top: str
    price_top: str


def usage_chart(words: Words, costs: Sequence[Cost], days: Sequence[date], currency: str) -> UsageChart:
    """How much was asked on each of the days, which are in order, and what 1,000 answers cost on it.

    A day without an answer has no column, and the line goes past it.
    """
    by_day = {date.fromisoformat(one.of): one for one in costs}
    known = [(n, by_day[day]) for n, day in enumerate(days) if day in by_day]
    prices = [(n, one.cost_per_answer) for n, one in known if one.cost_per_answer is not None]
    most, dearest = max(one.answers for _, one in known) or 1, max((price for _, price in prices), default=0) or 1.0
    step = 100 / len(days)
    columns = "".join(_column(words, one, n * step, step, one.answers / most, currency) for n, one in known)
    line = "L".join(f"{(n + 0.4) * step:.2f} {100 * (1 - price / dearest):.2f}" for n, price in prices)
    dots = "".join(
        f'<path class="dot" d="M{(n + 0.4) * step:.2f} {100 * (1 - price / dearest):.2f}h0"/>' for n, price in prices
    )
    tops = {"answers": words.number(most), "price": f"{per_thousand(words, dearest)} {currency}"}
    name = words(
        "From {first} to {last}: at most {answers} answers a day, and {price} for 1,000 answers",
        first=days[0],
        last=days[-1],
        **tops,
    )
    svg = Markup(
        f'<svg class="usage" role="img" aria-label="{escape(name)}" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<path class="grid" d="M0 100H100M0 50H100M0 0H100"/>{columns}<path class="line price" d="M{line}"/>{dots}</svg>'
    )
    return UsageChart(svg, tops["answers"], tops["price"])


def _column(words: Words, one: Cost, left: float, step: float, share: float, currency: str) -> str:
    told = f"{one.of}: {words.number(one.answers)}, {money(words, one.cost)} {currency}"
    return (
        f'<rect class="fill" x="{left:.2f}" y="{100 * (1 - share):.2f}" width="{0.8 * step:.2f}" '
        f'height="{100 * share:.2f}"><title>{escape(told)}</title></rect>'
    )


def times(words: Words, value: float | None, ours: float | None) -> str:
    """How many times as much something is as ours."""
    return f"× {words.number(value / ours, 0 if value >= 10 * ours else 1)}" if value and ours else "–"


def _points(told: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    return [(data["step"], data[name]) for data in told if data.get(name) is not None]
