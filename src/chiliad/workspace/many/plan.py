"""What training a collection would mean, before it is done: who can be trained, with which settings, at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from chiliad.config import Precision
from chiliad.data import Member, to_preferences
from chiliad.data.collection import Lot
from chiliad.data.example import digest
from chiliad.errors import BaseModelError, ChiliadError, RegistryError, WrongBase
from chiliad.evals.runner import choose_rows
from chiliad.registry import ExpertName, name_like
from chiliad.training import Lesson, Recipe
from chiliad.training.fit import SEATS
from chiliad.training.memory import training_bytes
from chiliad.training.rows import flat
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.lessons import recipe_for
from chiliad.workspace.many.outcome import Outcome
from chiliad.workspace.opinions import lessons_for
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.plan import training_speed
from chiliad.workspace.preferring import drafted
from chiliad.workspace.progress import Reporter, duration_text
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

LEFT_OUT_SHOWN = 20


@dataclass(frozen=True)
class Named:
    """The columns that the user named, the same for all tables."""

    input: Sequence[str] | None = None
    output: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Entry:
    """An expert that can be trained. tokens: of its training rows, once; key: as in `Outcome`."""

    name: str
    member: Member
    family: str
    key: str
    rows: int
    tokens: int
    recipe: Recipe
    answers: int
    """that its evaluation asks for, of the expert and of the base"""


@dataclass(frozen=True)
class ManyPlan:
    """to_do: what has no outcome yet; done: outcomes of an earlier command; left_out: what cannot be trained, and why."""

    to_do: tuple[Entry, ...]
    done: tuple[Outcome, ...]
    left_out: tuple[Outcome, ...]
    tokens_per_second: float
    bytes: int

    @property
    def tokens(self) -> int:
        """At most: training ends earlier where it no longer helps."""
        return sum(entry.tokens * entry.recipe.epochs for entry in self.to_do)

    @property
    def seconds(self) -> float:
        return self.tokens / self.tokens_per_second if self.to_do else 0.0

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        families = Counter(entry.family for entry in self.to_do)
        already = f", {len(self.done)} done already" if self.done else ""
        yield f"Experts   {len(self.to_do)} to train, in {len(families)} families{already}"
        if self.to_do:
            once = sum(entry.tokens for entry in self.to_do)
            adapters = "; ".join(sorted({entry.recipe.adapter_text for entry in self.to_do}))
            yield f"Rows      {sum(entry.rows for entry in self.to_do)} for training"
            yield f"Settings  {adapters}; epochs, batches and learning rates by the number of rows; {SEATS} at once"
            yield f"Tokens    {once} in one epoch of each, {self.tokens} at most"
            yield f"Time      at most {duration_text(self.seconds)} of training at {self.tokens_per_second:.0f} tokens/s"
            yield f"Answers   {sum(entry.answers for entry in self.to_do)} for their evaluation, in batches"
            yield f"Memory    about {self.bytes / 2**30:.1f} GiB to train"
        yield from self._left_out_lines()

    def _left_out_lines(self) -> Iterator[str]:
        if self.left_out:
            yield f"Left out  {len(self.left_out)}"
        for outcome in self.left_out[:LEFT_OUT_SHOWN]:
            yield f"  {outcome.label}: {outcome.cause}\n    Fix: {outcome.fix}"
        if len(self.left_out) > LEFT_OUT_SHOWN:
            yield f"  and {len(self.left_out) - LEFT_OUT_SHOWN} more"


class Planner:
    """Reads every table of a collection once, and keeps of it what the plan says."""

    def __init__(self, workspace: Workspace, base: str, options: TrainOptions, named: Named) -> None:
        """Raises BaseNotFound."""
        self._workspace, self._options, self._named = workspace, options, named
        self._served: ServedBase = workspace.served(base)
        self._precision = options.base_precision or Precision.BF16
        self._probe: dict[str, tuple[Recipe, Sequence[Lesson]]] = {}

    def plan(self, members: Sequence[Member], known: dict[str, Outcome], reporter: Reporter) -> ManyPlan:
        """`known`: outcomes of earlier commands by name. Nothing is written. Raises BaseModelError."""
        names = Counter(name_like(member.label) for member in members)
        versions = {expert.name: expert.numbers for expert in self._workspace.registry.experts()}
        to_do: list[Entry] = []
        done: list[Outcome] = []
        left_out: list[Outcome] = []
        for number, member in enumerate(members):
            reporter.stage("tables", number, len(members))
            try:
                entry = self._entry(member, names)
            except BaseModelError:
                raise
            except ChiliadError as error:
                left_out.append(Outcome.failed(member.label, None, "", error))
                continue
            earlier = known.get(entry.name)
            if earlier is not None and earlier.key == entry.key and _is_there(earlier, versions):
                done.append(replace(earlier, label=member.label, family=entry.family))
            else:
                to_do.append(entry)
        reporter.stage("tables", len(members), len(members))
        speed = training_speed(self._served, self._precision, self._probe) if to_do else 0.0
        return ManyPlan(tuple(to_do), tuple(done), tuple(left_out), speed, self._bytes(to_do))

    def _entry(self, member: Member, names: Counter[str]) -> Entry:
        name = self._name(member, names)
        lot, served = member.read(), self._served
        said = {**asdict(self._named), "instruction": lot.instruction, "base": served.base.id, "options": self._options}
        assigned = drafted(self._workspace, name, lot.train, test=lot.test, **said)
        self._require_together(assigned)
        dataset = assigned.dataset
        lessons = lessons_for(dataset, served, served.expert_template, served.context_max, self._options)
        recipe = recipe_for(lessons, self._options)
        served.require_served(recipe)
        if len(self._probe) < SEATS:
            self._probe[name] = (recipe, lessons.train)
        given = _given_hash(lot, self._named.group) if dataset.preferences else dataset.hash
        key = sha256(f"{given} {served.base.fingerprint} {self._options}".encode()).hexdigest()
        tokens = sum(len(row.ids) for row in flat(lessons.train))
        answers = len(dataset.test)
        if self._options.baselines:
            most, seed = self._options.evaluation.base_rows_max, self._options.evaluation.seed
            answers += 2 * sum(len(choose_rows(rows, most, seed)) for rows in (dataset.dev, dataset.test))
        return Entry(name, member, lot.family or "", key, len(lessons.train), tokens, recipe, answers)

    def _require_together(self, assigned: Assignment) -> None:
        """All are trained on one base in one precision. Raises WrongBase for one that continues from something else."""
        start, base = assigned.parent, self._served.base.id
        if start is not None and (start.base_id, assigned.base_precision) != (base, self._precision):
            raise WrongBase(
                f"{start.ref}, from which this continues, was trained on {start.base_id} in {assigned.base_precision}, and "
                f"the others are on {base} in {self._precision}.",
                fix="Train it by itself, or give all of them that base (--base) and precision (--base-precision).",
            )

    def _name(self, member: Member, names: Counter[str]) -> str:
        """Raises RegistryError for a label that leaves no name, or the same name as another."""
        name = name_like(member.label)
        if not name:
            raise RegistryError(
                f"{member.label!r} cannot be the name of an expert.", fix="Give it a name of letters and digits."
            )
        if names[name] > 1:
            raise RegistryError(
                f"{names[name]} tables make an expert named {name!r}.",
                fix="Rename them, so that each name is there once.",
            )
        return self._workspace.registry.check_name(name)

    def _bytes(self, entries: Sequence[Entry]) -> int:
        rank = max((entry.recipe.rank for entry in entries), default=0)
        return training_bytes(self._served.model_in(self._precision), rank, min(SEATS, len(entries))) if entries else 0


def _given_hash(lot: Lot, group: str | None) -> str:
    """Of the preferences themselves: how they are divided depends on the version that learns them, and changes with it."""
    parts = [[] if table is None else to_preferences(table, group=group) for table in (lot.train, lot.test)]
    return digest([[sorted({(one.id, one.group or "") for one in part}) for part in parts], lot.instruction])


def _is_there(outcome: Outcome, versions: Mapping[ExpertName, Sequence[int]]) -> bool:
    """Whether what was made, if anything was, has not been deleted since."""
    made, name = outcome.made, outcome.name
    return made is None or (name is not None and made.version in versions.get(ExpertName(name), ()))
