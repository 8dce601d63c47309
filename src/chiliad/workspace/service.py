"""A workspace as the server sees it: names that answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from chiliad.adapters import AdapterHash
from chiliad.base import ChatTemplate, Tokenizer
from chiliad.engine import Grammar, Handle, OnEvent, SamplingParams
from chiliad.errors import BaseModelError, BaseNotLoaded, DataError, ExpertNotFound, WrongBase
from chiliad.ledger import RightShare, Training
from chiliad.registry import ExpertRef, ExpertVersion
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.workspace.expert import Expert
from chiliad.workspace.records import ExpertRecords
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


log = logging.getLogger("chiliad.service")


@dataclass(frozen=True)
class Told:
    """What people are shown about a model."""

    description: str
    example: str | None = None


@dataclass(frozen=True)
class Model:
    """A base, or one version of an expert, under the name that it was asked by."""

    id: str
    served: ServedBase
    expert: Expert | None
    told: Callable[[], Told]

    @property
    def description(self) -> str:
        return self.told().description

    @property
    def example(self) -> str | None:
        return self.told().example

    @property
    def root(self) -> str:
        return str(self.expert.ref) if self.expert else self.served.base.id

    @property
    def parent(self) -> str | None:
        return self.served.base.id if self.expert else None

    @property
    def created_s(self) -> int:
        return int(self.expert.version.created.timestamp()) if self.expert else 0

    @property
    def precision(self) -> str:
        return self.served.precision

    @property
    def context_max(self) -> int:
        return self.served.context_max

    @property
    def tokenizer(self) -> Tokenizer:
        return self.served.tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        return self.expert.template if self.expert else self.served.chat_template


class WorkspaceService:
    """Reads the registry at every question, so that a version promoted by another process answers at once.

    Each base has an engine of its own, which starts now for `bases` and, unless `experts_wait`, for those of live experts;
    for any other when it is loaded. May be asked by several threads at a time.
    """

    def __init__(
        self, workspace: Workspace, bases: Sequence[str], *, any_base: bool = False, experts_wait: bool = False
    ) -> None:
        self._workspace = workspace
        self._any_base = any_base
        self._records = ExpertRecords(workspace.registry, workspace.accounts.price)
        self._numbers = count()
        self._told: dict[tuple[ExpertRef, AdapterHash], Told] = {}
        self._loaded: set[str] = set()
        self._loading = Lock()
        for base_id in bases:
            self.load(base_id)
        for version in () if experts_wait else self._live():
            try:
                self.load(version.base_id)
            except BaseModelError as error:
                log.warning("%s cannot answer: %s", version.ref, error)

    def is_ready(self) -> bool:
        return all(self._workspace.served(base_id).can_answer for base_id in self._loaded)

    def models(self) -> Sequence[Model]:
        experts = {version.name: version for version in self._live()}
        experts |= {version.training[RECORDED_AS]: version for version in self._workspace.registry.fine_tuned()}
        here = {*self._workspace.bases.ids(), *self._loaded}
        found = (self._listed(name, one) for name, one in experts.items() if one.base_id in here)
        listed = [model for model in found if model]
        bases = self._loaded | {model.served.base.id for model in listed}
        return [*listed, *(self._base(base_id) for base_id in sorted(bases))]

    def loaded(self) -> list[str]:
        """A line for each base in memory, for people."""
        return [self._workspace.served(base_id).about for base_id in sorted(self._loaded)]

    def resolve(self, model_id: str) -> Model:
        if model_id in self._loaded:
            return self._base(model_id)
        try:
            version = self._workspace.registry.get(model_id)
        except ExpertNotFound:
            is_base = model_id in self._workspace.bases.ids() and (self._any_base or self._has_experts(model_id))
            if not is_base and self._workspace.settings.hosted(model_id) is None:
                raise
            base_id = self._workspace.base_called(model_id)
            self._require_loaded(base_id)
            return replace(self._base(base_id), id=model_id)
        self._require_loaded(version.base_id)
        return self._expert(model_id, version)

    def load(self, base_id: str) -> None:
        """Read a base's weights and start its engine, once. Raises BaseModelError."""
        with self._loading:
            if base_id not in self._loaded:
                served = self._workspace.served(base_id)
                log.info("loaded %s", served.about)
                self._loaded = {*self._loaded, base_id}

    def render(self, model: Model, turns: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        return model.served.prompt(model.chat_template, turns)

    def compile(self, model: Model, grammar: Grammar) -> None:
        model.served.engine.compile(grammar)

    def score(self, model_id: str) -> RightShare | None:
        return self._records.score(model_id)

    def trainings(self) -> Sequence[Training]:
        return self._records.trainings()

    def start(
        self,
        model: Model,
        prompt: tuple[int, ...],
        sampling: SamplingParams,
        on_event: OnEvent,
        *,
        keep_to_choices: bool,
        share: str | None,
        priority: int = 0,
        grammar: Grammar | None = None,
        prompt_logprobs: int | None = None,
    ) -> Handle:
        version = model.expert.version if model.expert else None
        keep_to_choices = keep_to_choices and grammar is None
        request = model.served.request(
            str(next(self._numbers)),
            prompt,
            sampling,
            adapter=version.adapter_hash if version else None,
            choices=model.served.choices(version.choices) if version and keep_to_choices else None,
            grammar=grammar,
            prompt_logprobs=prompt_logprobs,
            share=share,
            priority=priority,
        )
        return model.served.engine.submit(request, on_event)

    def _live(self) -> list[ExpertVersion]:
        return [summary.live for summary in self._workspace.registry.experts() if summary.live]

    def _has_experts(self, base_id: str) -> bool:
        return any(version.base_id == base_id for version in self._live())

    def _require_loaded(self, base_id: str) -> None:
        if base_id not in self._loaded:
            raise BaseNotLoaded(base_id)

    def _base(self, base_id: str) -> Model:
        served = self._workspace.served(base_id)
        return Model(base_id, served, None, lambda: Told(served.base.note))

    def _expert(self, model_id: str, version: ExpertVersion) -> Model:
        expert = self._workspace.expert(version.ref)
        return Model(model_id, expert.served, expert, lambda: self._about(expert))

    def _listed(self, name: str, version: ExpertVersion) -> Model | None:
        """An expert in the list; not one that has just been deleted, or whose base is gone or another one by now."""
        try:
            return self._expert(name, version)
        except (ExpertNotFound, WrongBase, BaseModelError):
            return None

    def _about(self, expert: Expert) -> Told:
        """The card's first line and a development input to try, where there are such."""
        try:
            return self._read_about(expert)
        except DataError as error:
            log.warning("%s: %s", expert.ref, error)
            return Told("")

    def _read_about(self, expert: Expert) -> Told:
        """Each version's files once; only whether it has a card by now is looked at until it has one."""
        key = (expert.ref, expert.version.adapter_hash)
        if key not in self._told:
            self._told[key] = Told("", self._example(expert))
        if not self._told[key].description and (card := expert.card):
            self._told[key] = replace(self._told[key], description=card.verdict.line)
        return self._told[key]

    def _example(self, expert: Expert) -> str | None:
        dataset_hash = expert.version.dataset_hash
        dataset = self._workspace.dataset(dataset_hash) if dataset_hash else None
        return dataset.dev[0].input if dataset and dataset.dev else None
