"""Answers, kept with what was asked if the client or the workspace wants that."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chiliad.engine import Completion
from chiliad.errors import StoreError
from chiliad.server.caller import Caller
from chiliad.server.service import ServedModel, Turns
from chiliad.store import AnswerToKeep, KeptAnswers

log = logging.getLogger("chiliad.server")


@dataclass(frozen=True)
class Keeping:
    """Where a workspace keeps answers, and whether it keeps those that no request says anything about."""

    answers: KeptAnswers
    always: bool


@dataclass(frozen=True)
class Keepsake:
    """Of one request. kept: where its answers go, None keeps nothing; asked: the conversation before each of them"""

    kept: KeptAnswers | None
    id: str
    model: ServedModel
    asked: Sequence[Turns]
    caller: Caller
    metadata: Mapping[str, str]

    @property
    def logprobs_top(self) -> int | None:
        """The log-probabilities that the answers need besides those that the client asks for."""
        return None if self.kept is None else 0

    async def keep(self, completions: Sequence[Completion]) -> None:
        """Keep the whole answers before the client has the last of them, so that it can give feedback at once.

        A request for no answer, such as one that only scores its prompt, leaves nothing to keep. An answer that the
        database does not take is answered all the same.
        """
        if self.kept is None:
            return
        answered = zip(self.asked, completions, strict=True)
        answers = [
            self._answer(index, turns, completion)
            for index, (turns, completion) in enumerate(answered)
            if completion.tokens
        ]
        if not answers:
            return
        try:
            await asyncio.to_thread(self.kept.keep, answers)
        except StoreError as error:
            log.warning("The answer %s is not kept: %s", self.id, error)

    def _answer(self, index: int, turns: Turns, completion: Completion) -> AnswerToKeep:
        root = self.model.root
        return AnswerToKeep(
            id=answer_id(self.id, index),
            key_id=self.caller.id,
            project=self.caller.project,
            model=root,
            expert=root.partition("@")[0] if self.model.parent else None,
            turns=turns,
            text=completion.text,
            certainty=certainty(completion),
            metadata=self.metadata,
        )


def answer_id(response_id: str, index: int) -> str:
    """The first choice has the response's id, the others add their number."""
    return f"{response_id}.{index}" if index else response_id


def certainty(completion: Completion) -> float:
    """The probability of the token that the model was least sure of, by its own distribution."""
    return math.exp(min((token.logprob for token in completion.logprobs or ()), default=0.0))
