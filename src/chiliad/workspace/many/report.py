"""The report on a collection: a line for each expert and each family, as CSV for programs and one page for people."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from chiliad.evals import wording
from chiliad.evals.plots import score_bar
from chiliad.evals.verdict import percent
from chiliad.metrics import Interval, bootstrap_interval
from chiliad.store.files import write_atomic
from chiliad.workspace.machine import machine
from chiliad.workspace.many.outcome import Outcome, Proof, to_json

EXPERTS_FILE, FAMILIES_FILE, PAGE_FILE = "experts.csv", "families.csv", "report.html"
SIGNIFICANT_P = 0.05


@dataclass(frozen=True)
class Gain:
    """By how much experts beat the best baseline of each, on average. interval: over experts, as if they were independent,
    which those of one family are not."""

    mean: float
    interval: Interval
    baseline: float
    wins: int
    """experts that are significantly better"""
    losses: int
    """experts that are significantly worse"""


@dataclass(frozen=True)
class Family:
    """The experts of one family that were scored; failed: those without a version."""

    name: str
    experts: int
    failed: int
    score: float | None
    gain: Gain | None


@dataclass(frozen=True)
class ManyReport:
    """What came of a collection, and where it is written down."""

    folder: Path
    outcomes: tuple[Outcome, ...]
    families: tuple[Family, ...]
    all: Family

    @classmethod
    def of(cls, folder: Path, outcomes: Sequence[Outcome]) -> ManyReport:
        ordered = sorted(outcomes, key=lambda outcome: (outcome.family, outcome.name or outcome.label))
        members: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in ordered:
            if outcome.name is not None:
                members[outcome.family].append(outcome)
        families = tuple(_family(name, own) for name, own in members.items())
        return cls(folder, tuple(ordered), families, _family("all", ordered))

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Of which there is no version."""
        return tuple(outcome for outcome in self.outcomes if outcome.made is None)

    @property
    def page(self) -> Path:
        return self.folder / PAGE_FILE

    def write(self) -> None:
        """Raises StoreError."""
        write_atomic(self.folder / EXPERTS_FILE, _csv([_expert_row(outcome) for outcome in self.outcomes]))
        write_atomic(self.folder / FAMILIES_FILE, _csv([_family_row(family) for family in (self.all, *self.families)]))
        write_atomic(self.page, self.to_html())

    def to_json(self) -> str:
        """The outcomes, as programs read them."""
        return to_json(self.outcomes)

    def to_html(self) -> str:
        """One page that stands alone: no script, no request; the only links are those to the experts' cards."""
        made = [outcome for outcome in self.outcomes if outcome.made]
        return _template().render(
            title=self.folder.name,
            report=self,
            made=made,
            seconds=sum(outcome.made.seconds for outcome in made if outcome.made),
            proof_seconds=sum(outcome.proof.seconds for outcome in made if outcome.proof),
            bytes_mean=round(fmean(outcome.made.bytes for outcome in made if outcome.made)) if made else 0,
            machine=machine(),
            percent=percent,
            points=_points,
            bar=_bar,
            words=wording,
        )


def _family(name: str, outcomes: Sequence[Outcome]) -> Family:
    proofs = [outcome.proof for outcome in outcomes if outcome.proof is not None]
    failed = sum(outcome.made is None for outcome in outcomes)
    return Family(name, len(proofs), failed, fmean(p.score for p in proofs) if proofs else None, _gain(proofs))


def _gain(proofs: Sequence[Proof]) -> Gain | None:
    """None if there is no expert beside its baselines."""
    best = [proof.best for proof in proofs if proof.best is not None]
    if not best:
        return None
    deltas = [one.delta for one in best]
    clear = [one.delta for one in best if one.p_value < SIGNIFICANT_P]
    return Gain(
        mean=fmean(deltas),
        interval=bootstrap_interval(deltas) if len(set(deltas)) > 1 else Interval(min(deltas), max(deltas)),
        baseline=fmean(one.score for one in best),
        wins=sum(delta > 0 for delta in clear),
        losses=sum(delta < 0 for delta in clear),
    )


def _expert_row(outcome: Outcome) -> dict[str, Any]:
    made, proof = outcome.made, outcome.proof
    best = proof.best if proof else None
    row: dict[str, Any] = {"expert": outcome.name, "label": outcome.label, "family": outcome.family}
    row |= _picked(made, ("version", "live"))
    row |= _picked(proof, ("metric", "score", "low", "high"))
    row |= {"test_rows": proof.rows if proof else None}
    row |= {"best_baseline": best.name if best else None, "best_score": best.score if best else None}
    row |= _picked(best, ("delta", "p_value"))
    row |= {"delta_low": best.low if best else None, "delta_high": best.high if best else None}
    row |= dict(proof.baselines) if proof else {}
    row |= _picked(made, ("train_rows", "epochs", "tokens", "bytes"))
    row |= {"train_seconds": made.seconds if made else None, "evaluation_seconds": proof.seconds if proof else None}
    return row | {"cause": outcome.cause, "fix": outcome.fix}


def _family_row(family: Family) -> dict[str, Any]:
    gain = family.gain
    return {
        "family": family.name,
        "experts": family.experts,
        "failed": family.failed,
        "score": family.score,
        "best_baseline": gain.baseline if gain else None,
        "gain": gain.mean if gain else None,
        "gain_low": gain.interval.low if gain else None,
        "gain_high": gain.interval.high if gain else None,
        "wins": gain.wins if gain else None,
        "losses": gain.losses if gain else None,
    }


def _picked(thing: object | None, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) if thing is not None else None for name in names}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns.sort(key=("cause", "fix").count)  # what went wrong stands last, whichever row came first
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _bar(name: str, proof: Proof) -> Markup:
    return score_bar(proof.score, proof.low, proof.high, f"{name}: {percent(proof.score)}")


@cache
def _template() -> Template:
    source = resources.files("chiliad.workspace.many").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)
