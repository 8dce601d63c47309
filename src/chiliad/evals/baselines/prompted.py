"""The base model without training: told what to do, or told and shown a few examples."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, zip_longest

from chiliad.data import Dataset, Example, Message, TaskKind
from chiliad.evals.answering import Answerer
from chiliad.evals.baselines.baseline import Baseline
from chiliad.evals.options import EvalOptions

_TURN_TOKENS = 8  # what a chat template adds to a turn, at most
_KEYS_MAX = 30
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def zero_shot(dataset: Dataset, prompter: Prompter) -> Baseline:
    """The instruction, the labels or the output format, and the input."""
    return prompter.baseline("zero_shot", "Base model, zero-shot", dataset, shots=())


def few_shot(dataset: Dataset, prompter: Prompter) -> Baseline:
    """The same with a few training examples before it, as turns of the conversation: as many as fit."""
    shots = choose_shots(dataset, prompter.options.shots)
    shown = shots_text(*prompter.shots_shown(dataset))
    return prompter.baseline("few_shot", f"Base model, {shown}-shot", dataset, shots)


def shots_text(fewest: int, most: int) -> str:
    return f"{most}" if fewest == most else f"{fewest} to {most}"


@dataclass(frozen=True)
class Prompter:
    """Asks the base model, within its budgets of tokens."""

    answer: Answerer
    count_tokens: Callable[[str], int]
    answer_tokens_max: int
    options: EvalOptions

    def baseline(self, name: str, title: str, dataset: Dataset, shots: Sequence[Example]) -> Baseline:
        choices = dataset.labels or None
        system = self._system(dataset)

        def predict(examples: Sequence[Example]) -> list[str]:
            prompts = [self._prompt(system, shots, example) for example in examples]
            answers = self.answer(prompts, choices, self.answer_tokens_max)
            return [unfenced(answer.text) if dataset.kind is TaskKind.JSON else answer.text for answer in answers]

        return Baseline(name, title, predict, rows_max=self.options.base_rows_max)

    def shots_shown(self, dataset: Dataset) -> tuple[int, int]:
        """How many examples fit beside the longest test row, and how many beside the shortest."""
        system, shots = self._system(dataset), choose_shots(dataset, self.options.shots)
        by_length = sorted(dataset.test, key=lambda example: self._turn_tokens(example.messages))
        fewest, most = (self._fitting(system, shots, example) for example in (by_length[-1], by_length[0]))
        return len(fewest), len(most)

    def _system(self, dataset: Dataset) -> str:
        system = instruction(dataset)
        if self._tokens(system) > self.options.prompt_tokens_max // 2:
            system = dataset.instruction or _TASK[dataset.kind]
        return system

    def _prompt(self, system: str, shots: Sequence[Example], example: Example) -> list[Message]:
        """As many shots as fit beside the example."""
        shown = [turn for shot in self._fitting(system, shots, example) for turn in _told(shot)]
        own = [turn.content for turn in example.messages if turn.role == "system" and turn.content not in system]
        return [Message("system", "\n".join([*own, system])), *shown, *_asked(example)]

    def _fitting(self, system: str, shots: Sequence[Example], example: Example) -> Sequence[Example]:
        own = self._tokens(system) + self._turn_tokens(example.messages)
        totals = accumulate((self._turn_tokens(_told(shot)) for shot in shots), initial=own)
        return shots[: sum(total <= self.options.prompt_tokens_max for total in islice(totals, 1, None))]

    def _turn_tokens(self, turns: Iterable[Message]) -> int:
        return self._tokens(*(turn.content for turn in turns))

    def _tokens(self, *texts: str) -> int:
        return sum(self.count_tokens(text) + _TURN_TOKENS for text in texts)


def instruction(dataset: Dataset) -> str:
    """What the base model is told: the dataset's own instruction or a plain one, and what answers look like."""
    task = dataset.instruction or _TASK[dataset.kind]
    if dataset.kind is TaskKind.LABELS:
        return f"{task}\nAnswer with exactly one of these labels and nothing else:\n" + "\n".join(dataset.labels)
    if dataset.kind is TaskKind.JSON:
        return f"{task}\nAnswer with one JSON object and nothing else. Its keys: {', '.join(_keys(dataset))}."
    return task


def choose_shots(dataset: Dataset, count: int) -> tuple[Example, ...]:
    """Training examples to show, the same ones every time: in the order of their ids, which is as good as random.

    For labels, each round takes one example of every label, the frequent labels first, so that `count` examples
    cover as many labels as they can.
    """
    examples = sorted(dataset.train, key=lambda example: example.id)
    if dataset.kind is not TaskKind.LABELS:
        return tuple(examples[:count])
    by_label: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.answer].append(example)
    columns = sorted(by_label.values(), key=lambda column: (-len(column), column[0].answer))
    rounds = (example for row in zip_longest(*columns) for example in row if example is not None)
    return tuple(example for _, example in zip(range(count), rounds, strict=False))


def unfenced(answer: str) -> str:
    """The inside of a Markdown code fence if the base model wrote one: it is not marked down for manners."""
    fence = _FENCE.search(answer)
    return fence.group(1).strip() if fence else answer


_TASK = {
    TaskKind.LABELS: "Classify the user's message.",
    TaskKind.JSON: "Extract the information from the user's message.",
    TaskKind.TEXT: "Answer the user's message, in the same way as in the examples if there are any.",
}


def _keys(dataset: Dataset) -> list[str]:
    """The keys of the training answers, the frequent ones first."""
    counts = Counter(key for example in dataset.train for key in json.loads(example.answer))
    return [key for key, _ in counts.most_common(_KEYS_MAX)]


def _told(shot: Example) -> list[Message]:
    return [*_asked(shot), Message("assistant", shot.answer)]


def _asked(example: Example) -> list[Message]:
    return [turn for turn in example.messages if turn.role != "system"]
