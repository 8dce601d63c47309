"""What the server asks of the rest of Chiliad. It knows no HTTP, and the server knows nothing else of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from chiliad.base import ChatTemplate, Tokenizer
from chiliad.engine import Grammar, OnEvent, SamplingParams
from chiliad.ledger import Records

Turns = Sequence[Mapping[str, str]]
"""a conversation: `role` (system, user or assistant) and `content` of each turn, a system turn only in the first place"""


class ServedModel(Protocol):
    """Something that answers under a name: a base model, or one version of an expert."""

    @property
    def id(self) -> str:
        """The name it was found by: `tickets`, `tickets@3` or a base id."""

    @property
    def root(self) -> str:
        """The name that will mean the same for ever: `tickets@3` for `tickets`; a base's own id for a base."""

    @property
    def parent(self) -> str | None:
        """The base id under an expert; None for a base."""

    @property
    def created_s(self) -> int:
        """Seconds since 1970."""

    @property
    def description(self) -> str:
        """One line for people: what it does and how well. May read files."""

    @property
    def example(self) -> str | None:
        """An input to try. May read files."""

    @property
    def context_max(self) -> int:
        """Tokens of a prompt and its answer together."""

    @property
    def precision(self) -> str:
        """Of the base's numbers: bf16, int8 or int4."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def chat_template(self) -> ChatTemplate: ...


M = TypeVar("M", bound=ServedModel)
"""a service's own kind of model, which it gets back as it gave it"""


class Handle(Protocol):
    """One answer in the making."""

    def cancel(self) -> None:
        """Stop working on it. From any thread, any number of times, also after its end. Does not block."""


class Service(Records, Protocol[M]):
    """Answers under names.

    `start` is called on the event loop and must return at once. The other methods may read files or the database: the
    server calls them on worker threads, several at a time.
    """

    def is_ready(self) -> bool:
        """Whether `start` would be of use now. Called on the event loop; does not block."""

    def models(self) -> Sequence[M]:
        """Everything that can be asked under its plain name: each expert's live version, fine-tuned models, loaded bases."""

    def resolve(self, model_id: str) -> M:
        """What `tickets`, `tickets@3`, a fine-tuned or hosted model's name, or a base id stands for now.

        Raises ExpertNotFound, BaseNotFound, and BaseNotLoaded when `load` has to come first.
        """

    def load(self, base_id: str) -> None:
        """Bring a base into memory, which takes seconds, or minutes if it is fetched first. Raises BaseModelError."""

    def render(self, model: M, turns: Turns) -> tuple[int, ...]:
        """The prompt of a conversation, as the model was trained to read it. Raises BadRequest."""

    def compile(self, model: M, grammar: Grammar) -> None:
        """Make ready for answers that follow a grammar, which may take a second. Raises BadRequest."""

    def start(
        self,
        model: M,
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
        """Begin one answer; its events go to `on_event`, on whichever thread makes them.

        Those of different shares take turns, and with None each expert is a share of its own; a higher priority comes first.

        With `keep_to_choices` an expert with a closed set of answers gives one of them, unless a `grammar`, which
        `compile` has seen, says what the answer has to look like. `prompt_logprobs` asks for the
        prompt's own log-probabilities, with so many alternatives. Raises Overloaded, PromptTooLong, BadRequest.
        """


AnyService = Service[Any]
"""a service whose models are handed back to it unread"""
