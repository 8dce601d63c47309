"""How many experts are doing, for people to watch."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from chiliad.workspace.many.outcome import Outcome
from chiliad.workspace.progress import Reporter, RichReporter, duration_text

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from chiliad.training import StepEvent

ENDED_SHOWN = 6
BAR_WIDTH = 16
REFRESH_PER_S = 2
WAITING, TRAINING, LIVE, REFUSED, FAILED = "·", "▶", "■", "◪", "✕"
STYLES = {WAITING: "dim", TRAINING: "yellow", LIVE: "green", REFUSED: "magenta", FAILED: "red"}


class Board(Reporter, Protocol):
    """A reporter that knows of all experts of a collection."""

    def begin(self, waiting: dict[str, int], ended: Sequence[Outcome]) -> None:
        """`waiting`: names and the tokens of each training at most; `ended`: by earlier commands, or left out."""

    def ended(self, outcome: Outcome) -> None: ...


def board_for(reporter: Reporter) -> Board:
    """A live board in place of live bars, and one line of progress for every other reporter."""
    return RichBoard(reporter.console) if isinstance(reporter, RichReporter) else StageBoard(reporter)


class StageBoard:
    """Tells another reporter how many experts are done."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._done = self._total = 0

    def __enter__(self) -> Self:
        self._reporter.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._reporter.__exit__(*error)  # type: ignore[arg-type]  # what Python gives to one is what it gives to all

    def begin(self, waiting: dict[str, int], ended: Sequence[Outcome]) -> None:
        self._done, self._total = len(ended), len(ended) + len(waiting)
        self._tell()

    def step(self, event: StepEvent) -> None:
        self._tell()

    def stage(self, doing: str, done: int, total: int) -> None:
        self._tell()

    def ended(self, outcome: Outcome) -> None:
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        self._reporter.stage("experts", self._done, self._total)


class RichBoard:
    """One sign for every expert, a line for each in training, and the last that ended; plain lines without a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console, self._clock = console, clock
        self._signs: dict[str, str] = {}
        self._tokens: dict[str, int] = {}
        self._steps: dict[str, StepEvent] = {}
        self._last: deque[str] = deque(maxlen=ENDED_SHOWN)
        self._doing = ""
        self._began_s = 0.0
        self._tokens_ended = 0
        self._live = Live(get_renderable=self._view, console=console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, waiting: dict[str, int], ended: Sequence[Outcome]) -> None:
        self._began_s, self._tokens = self._clock(), waiting
        self._signs = {outcome.name or outcome.label: _sign(outcome) for outcome in ended}
        self._signs |= dict.fromkeys(waiting, WAITING)

    def step(self, event: StepEvent) -> None:
        self._signs[event.name] = TRAINING
        self._steps[event.name] = event

    def stage(self, doing: str, done: int, total: int) -> None:
        self._doing = f"{doing} {done}/{total}" if total else doing

    def ended(self, outcome: Outcome) -> None:
        name = outcome.name or outcome.label
        self._signs[name] = _sign(outcome)
        self._tokens_ended += self._tokens.get(name, 0)
        self._steps.pop(name, None)
        self._last.append(f"{_sign(outcome)} {name}: {outcome_text(outcome)}")
        if not self._console.is_terminal:
            self._console.print(self._last[-1], highlight=False, markup=False)

    def _view(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        last = map(Text, tuple(self._last))  # copies, here and below: the screen is drawn by a thread of its own
        return Group(self._summary(), self._map(), self._training(), Text(self._doing, "dim"), *last)

    def _summary(self) -> Text:
        from rich.text import Text

        signs = list(self._signs.values())
        done, wrong = len(signs) - signs.count(WAITING) - signs.count(TRAINING), signs.count(FAILED)
        parts = [f"{done} of {len(signs)} experts", *([f"{wrong} left out or failed"] if wrong else [])]
        if self._steps:
            parts.append(
                f"{sum(one.tokens_per_second for one in self._steps.values()) / len(self._steps):.0f} tokens/s"
            )
        if self._tokens_ended:
            left = sum(self._tokens.values()) - self._tokens_ended
            parts.append(f"{duration_text((self._clock() - self._began_s) * left / self._tokens_ended)} left")
        return Text(" · ".join(parts), "bold")

    def _map(self) -> Text:
        from rich.text import Text

        return Text.assemble(*((sign, STYLES[sign]) for sign in tuple(self._signs.values())))

    def _training(self) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1))
        for name, event in tuple(self._steps.items()):
            filled = round(BAR_WIDTH * event.step / event.steps)
            loss = "" if math.isnan(event.loss) else f"loss {event.loss:.3f}"
            dev = f"dev loss {event.dev.loss:.3f}, {event.dev.exact:.0%} {event.right}" if event.dev else ""
            bar = "━" * filled + "─" * (BAR_WIDTH - filled)
            table.add_row(name, bar, f"epoch {event.epoch + 1}/{event.epochs}", loss, dev)
        return table


def outcome_text(outcome: Outcome) -> str:
    """One line on what came of an expert."""
    proof = outcome.proof
    if proof is None:
        return outcome.cause or "trained"
    beside = f", {proof.best.name} {proof.best.score:.1%}" if proof.best else ""
    return f"{proof.metric} {proof.score:.1%}{beside}" + (f". {outcome.cause}" if outcome.cause else "")


def _sign(outcome: Outcome) -> str:
    if outcome.made is None:
        return FAILED
    return LIVE if outcome.made.live else REFUSED
