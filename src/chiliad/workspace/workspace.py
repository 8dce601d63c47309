"""A workspace: one folder that holds a team's datasets, experts, cards and database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.base.wheel import fetch_wheel
from chiliad.config import Settings
from chiliad.data import Dataset, Example, amend
from chiliad.embeddings import MiniLM
from chiliad.evals import Card, EvalOptions
from chiliad.ledger import Accounts
from chiliad.metrics import CustomScore
from chiliad.models import use_threads
from chiliad.registry import ExpertRef, ExpertVersion, Promotion, Registry
from chiliad.store import Databases, Evals, Store, Uploads
from chiliad.store.files import explain_disk_errors
from chiliad.workspace.asking import asked
from chiliad.workspace.assignment import Assignment, columns_of
from chiliad.workspace.auditing import audited
from chiliad.workspace.bases_in_use import BasesInUse
from chiliad.workspace.expert import Expert
from chiliad.workspace.feedback import WorkspaceFeedback
from chiliad.workspace.forecast import Forecast, forecast
from chiliad.workspace.freezing import frozen
from chiliad.workspace.gating import compared
from chiliad.workspace.given import Data, examples_of, source_of, table_of
from chiliad.workspace.inspection import Inspection, inspected, pruned_version
from chiliad.workspace.jobs import WorkspaceJobs
from chiliad.workspace.lessons import TEMPLATE_FILE
from chiliad.workspace.lineage import dataset_of, learned_before
from chiliad.workspace.many import Many, ManyReport
from chiliad.workspace.many.plan import Named
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.preferring import preferred, to_prefer
from chiliad.workspace.progress import Reporter, SilentReporter
from chiliad.workspace.proof import prove_and_keep, scores_on, template_of
from chiliad.workspace.served_base import ServedBase
from chiliad.workspace.service import WorkspaceService
from chiliad.workspace.teaching import taught

if TYPE_CHECKING:
    from chiliad.data.audit import Audit


class Workspace:
    """Opens what is in the folder and hands the parts to each other. Several processes may use one workspace at once."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or SilentReporter()
        self.bases = BaseStore(settings.cache_dir)
        self.folder = settings.workspace
        with explain_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.store = Store.of(settings)
        self.registry = Registry(self.store, self.folder, reserved=lambda: frozenset(self.bases.ids()))
        self._in_use = BasesInUse(self.bases, settings)
        use_threads(settings.threads)

    @classmethod
    def open(cls, settings: Settings, reporter: Reporter | None = None) -> Self:
        """Raises StoreError. `reporter` is told about long work."""
        return cls(settings, reporter)

    def __repr__(self) -> str:
        return f"<Workspace {self.folder}: {', '.join(expert.name for expert in self.registry.experts()) or 'empty'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the engines, write the rest of the ledger, and close the database."""
        self._in_use.close()
        if "accounts" in self.__dict__:
            self.accounts.close()
        self.store.close()

    def rest(self) -> None:
        """Give back what answering has taken, before more training in the same process; asking again starts anew.

        Keys and values of long prompts, such as those of an evaluation, take up to some gigabytes. Not while another
        thread asks: its requests are aborted.
        """
        self._in_use.rest()

    def examples(
        self,
        data: Data,
        *,
        input: str | Sequence[str] | None = None,  # noqa: A002 - the word for it everywhere
        output: str | None = None,
        group: str | None = None,
    ) -> list[Example]:
        """Read examples from a file, a DataFrame or rows. Raises DataError."""
        return examples_of(data, input, output, group)[1]

    def dataset(self, dataset_hash: str) -> Dataset:
        return Dataset.load(self.folder / "datasets", dataset_hash)

    def train(
        self,
        name: str,
        data: Data,
        *,
        test: Data | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002
        output: str | None = None,
        group: str | None = None,
        instruction: str | None = None,
        base: str = DEFAULT_BASE,
        options: TrainOptions | None = None,
        parent: ExpertVersion | None = None,
    ) -> Expert:
        """From a table of examples or preferences to a new version of an expert: frozen, trained, saved, evaluated, gated.

        Raises DataError, BaseModelError, RegistryError, StoreError; nothing half-written stays, and what served before
        still serves. A run that was killed continues when it is started again. `refusal` of the returned expert says
        why it is not live, if it is not.
        """
        return self.run(
            self.assign(
                name,
                data,
                test=test,
                input=input,
                output=output,
                group=group,
                instruction=instruction,
                base=base,
                options=options,
                parent=parent,
            )
        )

    def assign(
        self,
        name: str,
        data: Data,
        *,
        test: Data | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002
        output: str | None = None,
        group: str | None = None,
        instruction: str | None = None,
        base: str = DEFAULT_BASE,
        options: TrainOptions | None = None,
        parent: ExpertVersion | None = None,
    ) -> Assignment:
        """Read, check and freeze what `train` is given, so that `run` can train on it at any later time.

        Training continues from `parent`, a version of any expert on the same base; no row that it has learned is a test.
        Preferences are learned from there too, or from the live version of `name`: see `preferred`.
        """
        self.registry.check_name(name)
        chosen, table = options or TrainOptions(), table_of(data)
        if to_prefer(table, chosen, columns_named=bool(input or output)):
            return preferred(self, name, table, test, group, instruction, base, chosen, parent)
        columns, rows = examples_of(table, input, output, group)
        tests = None if test is None else self.examples(test, input=input, output=output, group=group)
        self.served(base)  # an unknown base is told before anything is written
        dataset = frozen(self, name, rows, tests, source=source_of(data), instruction=instruction, parent=parent)
        return Assignment(name, dataset, base, chosen, columns, parent)

    def many(
        self,
        data: Data,
        *,
        title: str | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002
        output: str | None = None,
        group: str | None = None,
        base: str = DEFAULT_BASE,
        options: TrainOptions | None = None,
    ) -> Many:
        """The experts of a folder of tables, or of one table with a column `expert` (see `chiliad.data.collection`).

        `title` names their report; by default the folder or file does.
        """
        named = Named((input,) if isinstance(input, str) else input, output, group)
        return Many(self, data, title=title, named=named, base=base, options=options or TrainOptions())

    def train_many(self, data: Data, **choices: Any) -> ManyReport:
        """Train an expert for each table, all of them together; `choices` are those of `many`.

        What is wrong with one is told in the report, the others are trained. Stopped or killed, the same call goes on.
        Raises DataError if there is no table at all, BaseModelError, StoreError.
        """
        many = self.many(data, **choices)
        return many.train(many.plan())

    def correct(self, name: str, corrections: Data, *, options: TrainOptions | None = None) -> Expert:
        """Continue from the live version with corrected answers added to its training examples.

        The test rows stay those of the live version, so that the gate compares like with like; corrections of them are
        left out. Raises UnusableData when no correction is left.
        """
        return self.run(self.amend(name, corrections, options=options))

    def amend(self, name: str, corrections: Data, *, options: TrainOptions | None = None) -> Assignment:
        """Read, check and freeze what `correct` is given, so that `run` can train on it at any later time."""
        columns = columns_of(self.expert(name).version)
        given = (
            examples_of(corrections, columns.inputs, columns.output, None)[1] if columns else self.examples(corrections)
        )
        return self.amend_with(name, given, source=source_of(corrections), options=options)

    def amend_with(
        self, name: str, corrections: Sequence[Example], *, source: str, options: TrainOptions | None = None
    ) -> Assignment:
        """The same with examples that were read already; `source` says where."""
        live = self.expert(name)
        before = self.own_dataset(live)
        amended = amend(before, corrections, self.folder / "datasets", source=f"{before.source} + {source}")
        return Assignment(
            name=name,
            dataset=amended.dataset,
            base=live.version.base_id,
            options=options or TrainOptions(),
            columns=columns_of(live.version),
            parent=live.version,
            corrections=amended,
        )

    def evaluate(
        self,
        expert: Expert,
        dataset: Dataset | None = None,
        *,
        scorer: CustomScore | None = None,
        options: EvalOptions | None = None,
    ) -> Card:
        """Score a version beside its baselines; what `prove_and_keep` keeps is the card that everybody sees."""
        rows, learned = dataset or self.own_dataset(expert), learned_before(self, expert.version)
        with self.reporter as reporter:
            return prove_and_keep(
                expert, rows, self.embedder, reporter, learned_before=learned, scorer=scorer, options=options
            )

    def test_on(
        self,
        expert: Expert,
        data: Data,
        *,
        input: str | Sequence[str] | None = None,  # noqa: A002
        output: str | None = None,
    ) -> Dataset:
        """The expert's own training rows beside other test rows; nothing is frozen. Raises DataError."""
        tests = tuple(example for example in self.examples(data, input=input, output=output) if example.usable)
        digest = sha256("".join(example.id for example in tests).encode()).hexdigest()
        return replace(self.own_dataset(expert), hash=digest, test=tests, source=source_of(data))

    def audit(
        self,
        data: Data,
        *,
        test: Data | None = None,
        time: str | None = None,
        input: str | Sequence[str] | None = None,  # noqa: A002
        output: str | None = None,
        group: str | None = None,
    ) -> Audit:
        """Look for wrong labels, contradictions and leaked tests, also in what the other experts learned from.

        time: a column; the newest rows are then the test. Nothing is written or changed. Raises DataError.
        """
        return audited(self, data, test=test, time=time, columns={"input": input, "output": output, "group": group})

    def inspect(self, reference: str | ExpertRef) -> Inspection:
        """What a version's adapter changes, and what smaller ranks would cost on its development rows."""
        with self.reporter as reporter:
            return inspected(self, self.expert(reference), reporter)

    def prune(self, reference: str | ExpertRef, rank: int, *, baselines: bool = True) -> Expert:
        """Make the closest adapter of a smaller rank the next version, evaluated and gated like one that was trained.

        Raises RegistryError for a rank that is not smaller.
        """
        with self.reporter as reporter:
            return pruned_version(self, self.expert(reference), rank, reporter, baselines=baselines)

    def forecast(self, reference: str | ExpertRef, *, more: int | None = None) -> Forecast:
        """What score to expect from more training rows, from a few trainings on parts of those that there are.

        more: so many rows more, besides twice, five and ten times as many. Stopped or killed, the same call goes on.
        Raises UnusableData for too few rows and what learned more than its rows, StoreError if another process is at it.
        """
        with self.reporter as reporter:
            return forecast(self, self.expert(reference), reporter, more=more)

    def promote(self, reference: str, *, force: bool = False) -> Promotion:
        """Make a version live, after comparing it with the live one, and the best before, on the frozen test rows.

        Raises PromotionRefused.
        """
        expert = self.expert(reference)
        with self.reporter as reporter:
            comparison = None if force else compared(self, expert, reporter)
        return self.registry.promote(expert.version.name, expert.version.number, comparison, force=force)

    def score(self, expert: Expert, examples: Sequence[Example]) -> float:
        """Mean score of an expert's answers to examples, by the main metric of its kind of task. Nothing is recorded."""
        return scores_on(expert, examples, self.own_dataset(expert), SilentReporter()).value

    def own_dataset(self, expert: Expert) -> Dataset:
        """What a version was trained and tested on. Raises UnusableData for an imported one."""
        return dataset_of(self, expert.version)

    def expert(self, reference: str | ExpertRef) -> Expert:
        """The live version of `tickets`, or `tickets@3`. Raises ExpertNotFound, BaseNotFound, WrongBase."""
        version = self.registry.get(reference)
        served = self.served(version.base_id)
        folder = self.registry.folder(version.ref)
        served.know(version, folder)
        return Expert(version, folder, served, template_of(folder, served.expert_template, TEMPLATE_FILE))

    def ask(self, reference: str, text: str) -> str:
        """An expert's answer, with its cost in the ledger."""
        return asked(self, self.expert(reference), text)

    def served(self, base_id: str) -> ServedBase:
        """A base of this machine, opened once. The default base is fetched if it is missing."""
        return self._in_use.get(base_id)

    def base_called(self, name: str) -> str:
        """The base that has this id, or that answers here to this name of a hosted model. Raises BaseNotFound."""
        return self._in_use.id_of(name)

    def service(self, bases: Sequence[str] | None = None, *, any_base: bool = False) -> WorkspaceService:
        """What `chiliad serve` serves: `bases`, and every expert that is live, whenever it became so.

        Without `bases` it is the default base if that is here; it is fetched only if there is nothing else to serve.
        With `any_base` the other bases of this machine answer too. What is not loaded now is when it is first asked.
        """
        chosen = bases is not None
        if bases is None:
            wanted = DEFAULT_BASE in self.bases.ids() or not any(expert.live for expert in self.registry.experts())
            bases = (DEFAULT_BASE,) if wanted else ()
        return WorkspaceService(self, bases, any_base=any_base, experts_wait=chosen)

    @cached_property
    def jobs(self) -> WorkspaceJobs:
        """What is to be done in the background."""
        return WorkspaceJobs(self)

    @cached_property
    def files(self) -> Uploads:
        """What clients have uploaded, and what jobs have written for them."""
        return Uploads(self.store.database, self.folder / "files")

    @cached_property
    def databases(self) -> Databases:
        """SQLite files of the workspace that an expert may be asked about."""
        return Databases(self.folder / "databases", self.settings.copilot)

    @cached_property
    def evals(self) -> Evals:
        """Evals as clients of OpenAI's API define them, and what their runs gave."""
        return Evals(self.store.database)

    @cached_property
    def feedback(self) -> WorkspaceFeedback:
        """Answers that are kept, what people said about them, and what is learned from it."""
        return WorkspaceFeedback(self)

    @cached_property
    def accounts(self) -> Accounts:
        """Who may ask, and what they spent."""
        return Accounts(self.store.database, self.settings.prices, elsewhere=self.settings.elsewhere)

    def report_to(self, reporter: Reporter) -> None:
        """From now on `reporter` is told about long work."""
        self.reporter = reporter

    @cached_property
    def embedder(self) -> MiniLM:
        return MiniLM.open(self.settings.cache_dir, fetch_wheel)

    def run(self, assignment: Assignment) -> Expert:
        """Train, evaluate and gate."""
        with taught(self, assignment) as expert:
            pass
        return expert
