"""What came of each expert, noted in a file of its own as soon as it is known: a kill loses none of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from chiliad.errors import ChiliadError
from chiliad.evals import Card
from chiliad.metrics import Scores, bootstrap_interval
from chiliad.store import Document
from chiliad.store.files import write_atomic
from chiliad.workspace.expert import Expert


@dataclass(frozen=True)
class Best:
    """The baseline that was best on development rows. delta: the expert minus it, on the test rows that both answered."""

    name: str
    score: float
    delta: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Proof:
    """What an expert's answers to its test rows are worth, given by its saved files."""

    metric: str
    score: float
    low: float
    high: float
    rows: int
    seconds: float
    """of the evaluation, baselines included"""
    baselines: dict[str, float] = field(default_factory=dict)
    best: Best | None = None
    """None without baselines"""

    @classmethod
    def of_card(cls, card: Card) -> Proof:
        expert, test, best = card.expert, card.test, card.best_row
        return cls(
            card.metric,
            expert.score,
            expert.low,
            expert.high,
            expert.rows,
            expert.seconds + sum(row.seconds for row in card.baselines),
            {row.name: row.score for row in card.baselines},
            Best(best.name, best.score, test.delta, test.low, test.high, test.p_value),
        )

    @classmethod
    def of_scores(cls, scores: Scores, seconds: float) -> Proof:
        interval = bootstrap_interval(scores.per_example)
        return cls(scores.name, scores.value, interval.low, interval.high, len(scores.per_example), seconds)


@dataclass(frozen=True)
class Made:
    """A version of an expert."""

    version: int
    live: bool
    train_rows: int
    epochs: int
    tokens: int
    seconds: float
    """of training"""
    bytes: int
    """of the adapter"""

    @classmethod
    def of(cls, expert: Expert) -> Made:
        told = expert.version.training
        return cls(
            version=expert.version.number,
            live=expert.refusal is None,
            train_rows=told["rows"],
            epochs=told["epochs"],
            tokens=told["tokens"],
            seconds=told["seconds"],
            bytes=(expert.folder / "adapter_model.safetensors").stat().st_size,
        )


@dataclass(frozen=True)
class Outcome:
    """One expert of a collection. cause, fix: why there is no version of it, or why that is not live.

    key: of the rows, settings and base; the same key again needs no training.
    """

    label: str
    name: str | None
    family: str
    key: str | None
    made: Made | None = None
    proof: Proof | None = None
    cause: str | None = None
    fix: str | None = None

    @classmethod
    def failed(cls, label: str, name: str | None, family: str, error: ChiliadError) -> Outcome:
        return cls(label, name, family, None, cause=error.cause, fix=error.fix)


class Journal:
    """Outcomes by name, and what was begun and has none yet, in a folder of small files that are each whole or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, Outcome]:
        """What is noted; a file that is no outcome (any more) counts as not noted."""
        known = {}
        for path in self._folder.glob("*.json"):
            try:
                known[path.stem] = _OUTCOME.validate_json(path.read_bytes())
            except ValidationError:
                continue
        return known

    def note(self, outcome: Outcome) -> None:
        assert outcome.name is not None
        write_atomic(self._folder / f"{outcome.name}.json", _OUTCOME.dump_json(outcome, indent=1) + b"\n")
        self._begun(outcome.name).unlink(missing_ok=True)

    def begin(self, name: str, key: str, document: Document) -> None:
        """Keep what is to be done until its outcome is noted."""
        write_atomic(self._begun(name), json.dumps({"key": key, "assignment": document}) + "\n")

    def begun(self, name: str, key: str) -> Document | None:
        """What `begin` kept under that key, if no outcome was noted since."""
        path = self._begun(name)
        kept: Document = json.loads(path.read_bytes()) if path.is_file() else {}
        return kept["assignment"] if kept.get("key") == key else None

    def _begun(self, name: str) -> Path:
        return self._folder / f"{name}.begun"


def to_json(outcomes: Iterable[Outcome]) -> str:
    return _OUTCOMES.dump_json(list(outcomes), indent=2).decode()


def outcomes_from_json(text: str) -> list[Outcome]:
    """What `to_json` wrote."""
    return _OUTCOMES.validate_json(text)


_OUTCOME = TypeAdapter(Outcome)
_OUTCOMES = TypeAdapter(list[Outcome])
