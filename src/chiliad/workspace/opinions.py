"""From what a dataset holds to what the trainer is given: rows of its examples, or opinions if it states preferences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chiliad.base import ChatTemplate
from chiliad.data import Dataset, Example, Preference, Preferences
from chiliad.errors import UnusableData
from chiliad.training import Method, Opinion, Pair, Row, Thumb
from chiliad.training.recipe import BETA
from chiliad.training.rows import flat
from chiliad.workspace.lessons import Lessons, make_lessons, row_of
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.served_base import ServedBase


def lessons_for(
    dataset: Dataset,
    served: ServedBase,
    template: ChatTemplate,
    tokens_max: int,
    options: TrainOptions,
    corrections: Sequence[Example] = (),
) -> Lessons:
    """Tokenise what is to be learned. Raises UnusableData when none of it fits, or it cannot be learned by the method."""
    if dataset.preferences is None:
        return make_lessons(dataset, served, template, tokens_max, corrections)
    method, beta = method_for(dataset.preferences, options), options.beta or BETA

    def opinions(part: Sequence[Preference]) -> list[Opinion]:
        return [said for one in part for said in _opinions(one, served, template, method, beta)]

    def fitting(some: list[Opinion]) -> list[Opinion]:
        return [one for one in some if all(len(row.ids) <= tokens_max for row in flat([one]))]

    stated = opinions(dataset.preferences.train)
    train = fitting(stated)
    if not train:
        raise UnusableData(
            f"Every preference has an answer that takes it beyond {tokens_max} tokens.",
            fix="Shorten the prompts or the answers.",
        )
    dev, test = (fitting(opinions(part)) for part in (dataset.preferences.dev, dataset.preferences.test))
    return Lessons(_balanced(train), _balanced(dev), len(train), len(stated) - len(train), method, _balanced(test))


def method_for(preferences: Preferences, options: TrainOptions) -> Method:
    """What was chosen, or what fits them. Raises UnusableData."""
    single = [one for one in (*preferences.train, *preferences.dev, *preferences.test) if not one.is_pair]
    if options.method is Method.DPO and single:
        raise UnusableData(
            f"DPO compares two answers, and {len(single)} of the preferences are about a single one.",
            fix="Take --method kto, or give pairs: prompt, chosen, rejected.",
        )
    return options.method or (Method.KTO if single else Method.DPO)


def _opinions(
    stated: Preference, served: ServedBase, template: ChatTemplate, method: Method, beta: float
) -> Iterator[Opinion]:
    def row(answer: str) -> Row:
        return row_of(Example.of(stated.messages, answer), served, template)

    if method is Method.DPO:
        assert stated.chosen is not None
        assert stated.rejected is not None
        yield Pair(row(stated.chosen), row(stated.rejected), beta)
        return
    for answer, good in ((stated.chosen, True), (stated.rejected, False)):
        if answer is not None:
            yield Thumb(row(answer), good, beta)


def _balanced(opinions: list[Opinion]) -> list[Opinion]:
    """Thumbs weighted so that the good and the bad ones together count alike; pairs as they are."""
    thumbs = [one for one in opinions if isinstance(one, Thumb)]
    good = sum(one.good for one in thumbs)
    share = {True: good, False: len(thumbs) - good}
    return [
        Thumb(one.row, one.good, one.beta, len(thumbs) / (2 * share[one.good])) if isinstance(one, Thumb) else one
        for one in opinions
    ]
