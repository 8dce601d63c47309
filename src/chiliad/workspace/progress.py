"""Progress for people: what is being done, how far it is, and how long it will still take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from chiliad.training import StepEvent


class Reporter(Protocol):
    """Told about long work as it goes on, between entering and leaving it. May be entered again later."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self, event: StepEvent) -> None:
        """Training has moved on."""

    def stage(self, doing: str, done: int, total: int) -> None:
        """Other long work has moved on; `total` 0 means unknown."""


class SilentReporter:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def step(self, event: StepEvent) -> None: ...

    def stage(self, doing: str, done: int, total: int) -> None: ...


class RichReporter:
    """Live bars on standard error, in a terminal; plain lines where there is none."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self._bars = self._new_bars()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars, self._tasks = self._new_bars(), {}
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def step(self, event: StepEvent) -> None:
        loss = "" if math.isnan(event.loss) else f"loss {event.loss:.3f} · "
        left = f"{duration_text(event.seconds_left)} left"
        detail = f"epoch {event.epoch + 1}/{event.epochs} · {loss}{event.tokens_per_second:.0f} tokens/s · {left}"
        self._show("training", event.step, event.steps, detail)
        if event.dev is not None:
            line = f"  epoch {event.epoch + 1}: dev loss {event.dev.loss:.3f}, {event.dev.exact:.1%} {event.right}"
            self.console.print(line, highlight=False)

    def stage(self, doing: str, done: int, total: int) -> None:
        self._show(doing, done, total, f"{done}/{total}" if total else "")

    def _new_bars(self) -> Progress:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        described, detail = TextColumn("{task.description}"), TextColumn("{task.fields[detail]}")
        return Progress(
            described, BarColumn(bar_width=24), detail, TimeElapsedColumn(), console=self.console, transient=True
        )

    def _show(self, doing: str, done: int, total: int, detail: str) -> None:
        if doing not in self._tasks:
            self._tasks[doing] = self._bars.add_task(doing, total=total or None, detail=detail)
        self._bars.update(self._tasks[doing], completed=done, total=total or None, detail=detail)


def duration_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
