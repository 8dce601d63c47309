"""A workspace as the server sees it: names that answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from chiliad.base import ChatTemplate, Tokenizer
from chiliad.engine import Handle, OnEvent, SamplingParams
from chiliad.errors import BaseModelError, ExpertNotFound, StoreError
from chiliad.registry import ExpertVersion
from chiliad.workspace.expert import Expert
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


@dataclass(frozen=True)
class Model:
    """A base, or one version of an expert, under the name that it was asked by."""

    id: str
    served: ServedBase
    expert: Expert | None
    context_max: int
    description: str = ""
    example: str | None = None

    @property
    def root(self) -> str:
        return str(self.expert.ref) if self.expert else self.id

    @property
    def parent(self) -> str | None:
        return self.served.base.id if self.expert else None

    @property
    def created_s(self) -> int:
        return int(self.expert.version.created.timestamp()) if self.expert else 0

    @property
    def tokenizer(self) -> Tokenizer:
        return self.served.tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        return self.expert.template if self.expert else self.served.chat_template


class WorkspaceService:
    """Reads the registry at every question, so that a version promoted by another process answers at once."""

    def __init__(self, workspace: Workspace, bases: Sequence[str]) -> None:
        self._workspace = workspace
        self._numbers = count()
        self._loaded = {*bases} | {version.base_id for version in self._live()}
        for base_id in self._loaded:
            workspace.served(base_id).engine  # noqa: B018 - reads the weights now rather than at the first request

    def is_ready(self) -> bool:
        return True

    def models(self) -> Sequence[Model]:
        experts = [self._expert(version.name, version) for version in self._live() if version.base_id in self._loaded]
        return [*experts, *(self._base(base_id) for base_id in sorted(self._loaded))]

    def resolve(self, model_id: str) -> Model:
        if model_id in self._loaded:
            return self._base(model_id)
        version = self._workspace.registry.get(model_id)
        if version.base_id not in self._loaded:
            self._workspace.served(version.base_id).engine  # noqa: B018 - loads a base that came later
            self._loaded.add(version.base_id)
        return self._expert(model_id, version)

    def render(self, model: Model, turns: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        return model.served.prompt(model.chat_template, turns)

    def start(
        self,
        model: Model,
        prompt: tuple[int, ...],
        sampling: SamplingParams,
        on_event: OnEvent,
        *,
        keep_to_choices: bool,
        prompt_logprobs: int | None = None,
    ) -> Handle:
        version = model.expert.version if model.expert else None
        request = model.served.request(
            str(next(self._numbers)),
            prompt,
            sampling,
            adapter=version.adapter_hash if version else None,
            choices=model.served.choices(version.choices) if version and keep_to_choices else None,
            prompt_logprobs=prompt_logprobs,
        )
        return model.served.engine.submit(request, on_event)

    def _live(self) -> list[ExpertVersion]:
        return [summary.live for summary in self._workspace.registry.experts() if summary.live]

    def _base(self, base_id: str) -> Model:
        served = self._workspace.served(base_id)
        return Model(base_id, served, None, served.engine.context_max, served.base.note)

    def _expert(self, model_id: str, version: ExpertVersion) -> Model:
        expert = self._workspace.expert(version.ref)
        served = expert.served
        description, example = self._told(expert)
        return Model(model_id, served, expert, served.engine.context_max, description, example)

    def _told(self, expert: Expert) -> tuple[str, str | None]:
        """The card's first line and a test input to try, where there are such."""
        try:
            card = expert.card
            dataset_hash = expert.version.dataset_hash
            dataset = self._workspace.dataset(dataset_hash) if dataset_hash else None
        except (StoreError, ExpertNotFound, BaseModelError):
            return "", None
        example = dataset.test[0].input if dataset and dataset.test else None
        return (card.verdict.line if card else ""), example
