"""Progress in a notebook: a few lines of text that are rewritten in place, without any widget."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from chiliad.workspace.progress import duration_text

if TYPE_CHECKING:
    from chiliad.training import StepEvent

Show = Callable[[str], None]
"""puts a text where the last one was"""

BAR_WIDTH = 24
REFRESH_S = 0.2


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookReporter:
    """One line for each thing that is done, and for each epoch; they stay when it is over."""

    def __init__(
        self, new_place: Callable[[], Show] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`new_place` opens an output of its own below the running cell."""
        self._new_place = new_place or _new_display
        self._clock = clock
        self._show: Show = lambda text: None
        self._lines: dict[str, str] = {}
        self._shown_s = -math.inf

    def __enter__(self) -> Self:
        self._lines, self._shown_s, self._show = {}, -math.inf, self._new_place()
        return self

    def __exit__(self, *_: object) -> None:
        self._refresh()

    def step(self, event: StepEvent) -> None:
        loss = "" if math.isnan(event.loss) else f"loss {event.loss:.3f} · "
        left = f"{duration_text(event.seconds_left)} left"
        detail = f"epoch {event.epoch + 1}/{event.epochs} · {loss}{event.tokens_per_second:.0f} tokens/s · {left}"
        self._put("training", f"{_bar(event.step, event.steps)} {detail}")
        if event.dev is not None:
            line = f"dev loss {event.dev.loss:.3f}, {event.dev.exact:.1%} {event.right}"
            self._put(f"  epoch {event.epoch + 1}", line)

    def stage(self, doing: str, done: int, total: int) -> None:
        self._put(doing, f"{_bar(done, total)} {done}/{total}" if total else "")

    def _put(self, doing: str, line: str) -> None:
        is_new = doing not in self._lines
        self._lines[doing] = line
        if is_new or self._clock() - self._shown_s >= REFRESH_S:
            self._refresh()

    def _refresh(self) -> None:
        self._shown_s = self._clock()
        width = max(map(len, self._lines), default=0)
        self._show("\n".join(f"{doing:<{width}}  {line}".rstrip() for doing, line in self._lines.items()))


def _bar(done: int, total: int) -> str:
    filled = round(BAR_WIDTH * min(done / total, 1.0)) if total else 0
    return "█" * filled + "░" * (BAR_WIDTH - filled)


def _new_display() -> Show:
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)
