"""What evals need from a model: prompts in, answers out. Whoever runs the evaluation hands these callables over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chiliad.data import Message

Prompt: TypeAlias = Sequence[Message]
"""All turns before the answer."""


@dataclass(frozen=True)
class Answer:
    text: str
    prompt_tokens: int
    answer_tokens: int


class Answerer(Protocol):
    """A model under test: an expert, or the base model that it stands on."""

    def __call__(self, prompts: Sequence[Prompt], choices: tuple[str, ...] | None, tokens_max: int) -> list[Answer]:
        """One answer per prompt, in order, the most likely one (no sampling).

        With `choices` every answer is one of them; with None the answer is decoded freely. No answer is longer than
        `tokens_max` tokens.
        """


Embed: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to rows of length 1: [texts, dimensions]."""

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""(what is being done, how many steps are done, of how many)"""


def remembering(embed: Embed) -> Embed:
    """The same embedder, except that it embeds each text once: several baselines read the same rows."""
    vectors: dict[str, NDArray[np.float32]] = {}

    def remembered(texts: Sequence[str]) -> NDArray[np.float32]:
        new = list(dict.fromkeys(text for text in texts if text not in vectors))
        fresh = embed(new)
        vectors.update(zip(new, fresh, strict=True))
        return np.stack([vectors[text] for text in texts]) if texts else fresh

    return remembered
