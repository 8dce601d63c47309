"""Plots as inline SVG that stretches with the page: no scripts, no fonts, no pixels but the width of strokes.

Colours come from the page's style sheet through classes, so that a plot follows light and dark. The only text in an SVG
is its accessible name; axis labels are handed out for the page to set in its own type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup, escape

Points: TypeAlias = Sequence[tuple[float, float]]
"""(step, loss) pairs, steps ascending"""

_POINTS_MAX = 400
_TICKS = 5
_KEEP = 0.9  # of the running mean at each step


@dataclass(frozen=True)
class Curve:
    """A line chart: the SVG, and its labels from the top down and from left to right."""

    svg: Markup
    y_labels: tuple[str, ...]
    x_labels: tuple[str, ...]


def score_bar(score: float, low: float, high: float, name: str) -> Markup:
    """A bar from 0 to `score` with a whisker from `low` to `high`, all between 0 and 1."""
    left, right = _percent(low), _percent(high)
    lines = "".join(
        f'<line class="whisker" x1="{x1}%" x2="{x2}%" y1="{y1}%" y2="{y2}%"/>'
        for x1, x2, y1, y2 in ((left, right, 50, 50), (left, left, 28, 72), (right, right, 28, 72))
    )
    return Markup(
        f'<svg class="bar" role="img" aria-label="{escape(name)}" width="100%" height="20">'
        '<rect class="track" width="100%" height="100%" rx="4"/>'
        f'<rect class="fill" width="{_percent(score)}%" height="100%" rx="4"/>{lines}</svg>'
    )


def loss_curve(train: Points, dev: Points) -> Curve | None:
    """Training loss (faint: as measured; strong: running mean) and development loss. None if there is nothing to draw.

    Values that are not finite are left out.
    """
    train, dev = _finite(train), _finite(dev)
    drawn = [*train, *dev]
    if len(drawn) < 2:
        return None
    steps, losses = zip(*drawn, strict=True)
    top = max(losses) or 1.0
    frame = _Frame(min(steps), max(steps) if max(steps) > min(steps) else min(steps) + 1, top)
    dots = "".join(f'<path class="dot" d="M{x} {y}h0"/>' for x, y in map(frame.place, dev))
    lines = (
        _grid() + frame.line("raw", train) + frame.line("mean", _running_mean(train)) + frame.line("dev", dev) + dots
    )
    name = f"Training loss from {drawn[0][1]:.3g} to {train[-1][1] if train else dev[-1][1]:.3g}"
    svg = f'<svg class="curve" role="img" aria-label="{name}" viewBox="0 0 100 100" preserveAspectRatio="none">'
    return Curve(
        Markup(f"{svg}{lines}</svg>"),
        tuple(f"{top * (1 - tick / (_TICKS - 1)):.2g}" for tick in range(_TICKS)),
        tuple(f"{step:,.0f}" for step in (frame.left, (frame.left + frame.right) / 2, frame.right)),
    )


@dataclass(frozen=True)
class _Frame:
    """Where steps and losses lie in a square of 100 by 100, losses from 0 up."""

    left: float
    right: float
    top: float

    def place(self, point: tuple[float, float]) -> tuple[str, str]:
        step, loss = point
        return f"{100 * (step - self.left) / (self.right - self.left):.2f}", f"{100 * (1 - loss / self.top):.2f}"

    def line(self, kind: str, points: Points) -> str:
        if not points:
            return ""
        path = "L".join(" ".join(self.place(point)) for point in _thinned(points))
        return f'<path class="line {kind}" d="M{path}"/>'


def _grid() -> str:
    heights = (100 * tick / (_TICKS - 1) for tick in range(_TICKS))
    return "".join(f'<path class="grid" d="M0 {height:g}H100"/>' for height in heights)


def _running_mean(points: Points) -> list[tuple[float, float]]:
    """Exponential mean, corrected for its start as in Adam (Kingma and Ba 2014)."""
    means, mean, weight = [], 0.0, 0.0
    for step, loss in points:
        mean = _KEEP * mean + (1 - _KEEP) * loss
        weight = _KEEP * weight + (1 - _KEEP)
        means.append((step, mean / weight))
    return means


def _thinned(points: Points) -> Iterator[tuple[float, float]]:
    """At most about `_POINTS_MAX` of the points, the last among them."""
    stride = math.ceil(len(points) / _POINTS_MAX)
    yield from points[:-1:stride]
    yield points[-1]


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(float(step), float(loss)) for step, loss in points if math.isfinite(step) and math.isfinite(loss)]


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}"
