"""A forecast as one page: the trainings that were made, the curve through them, and the band of what is to come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from chiliad.evals import wording
from chiliad.evals.verdict import percent
from chiliad.metrics import Expected, LearningCurve
from chiliad.workspace.pages import page

if TYPE_CHECKING:
    from chiliad.workspace.forecast.forecast import Forecast

_STEPS = 24
_TICKS = 5
_TICK_LOW = 0.2
"""the axis begins at a multiple of this, so that its ticks are round"""


@dataclass(frozen=True)
class Chart:
    """The SVG, and its labels from the top down and from left to right."""

    svg: Markup
    y_labels: tuple[str, ...]
    x_labels: tuple[str, ...]


def to_html(forecast: Forecast) -> str:
    return page(
        "forecast",
        forecast=forecast,
        chart=chart(forecast),
        metric=wording.metric_title(forecast.metric),
        percent=percent,
        interval_text=wording.interval_text,
        duration_text=wording.duration_text,
    )


def chart(forecast: Forecast) -> Chart:
    """Rows on a logarithmic axis; scores from the lowest that is drawn to 100 %."""
    curve = LearningCurve(forecast.measured)
    first, last = min(run.rows for run in forecast.measured), forecast.outlooks[-1].expected.rows
    sizes = {round(first * (last / first) ** (step / _STEPS)) for step in range(_STEPS + 1)}
    line = [curve.expected(rows) for rows in sorted(sizes | {forecast.now.rows})]
    ahead = [point for point in line if point.rows >= forecast.now.rows]
    lows = [
        *(run.score for run in forecast.measured),
        *(point.interval.low for point in ahead),
        forecast.prompted.score,
    ]
    frame = _Frame(first, last, _TICK_LOW * min(4, math.floor(min(lows) / _TICK_LOW)))
    rival = "L".join(frame.place(rows, forecast.prompted.score) for rows in (first, last))
    dots = "".join(f'<path class="dot" d="M{frame.place(run.rows, run.score)}h0"/>' for run in forecast.measured)
    parts = (
        "".join(f'<path class="grid" d="M0,{100 * tick / (_TICKS - 1):g}H100"/>' for tick in range(_TICKS)),
        f'<path class="band" d="M{_band(frame, ahead)}Z"/>',
        f'<path class="rival" d="M{rival}"/>',
        f'<path class="mean" d="M{"L".join(frame.place(point.rows, point.middle) for point in line)}"/>',
        dots,
    )
    name = f"Score by training rows, expected to reach {percent(line[-1].middle)} at {last:,}"
    svg = f'<svg class="curve" role="img" aria-label="{name}" viewBox="0 0 100 100" preserveAspectRatio="none">'
    ticks = (frame.low + (1 - frame.low) * (1 - tick / (_TICKS - 1)) for tick in range(_TICKS))
    return Chart(
        Markup(f"{svg}{''.join(parts)}</svg>"),
        tuple(f"{tick:.0%}" for tick in ticks),
        tuple(f"{rows:,}" for rows in (first, round(math.sqrt(first * last)), last)),
    )


def _band(frame: _Frame, points: Sequence[Expected]) -> str:
    """Along the upper ends and back along the lower ones."""
    upper = [frame.place(point.rows, point.interval.high) for point in points]
    lower = [frame.place(point.rows, point.interval.low) for point in reversed(points)]
    return "L".join([*upper, *lower])


@dataclass(frozen=True)
class _Frame:
    """Where rows and scores lie in a square of 100 by 100."""

    first: int
    last: int
    low: float

    def place(self, rows: int, score: float) -> str:
        across = math.log(rows / self.first) / math.log(self.last / self.first)
        return f"{100 * across:.2f},{100 * (1 - score) / (1 - self.low):.2f}"
