"""Which examples are for training, for development and for the test.

Only the content of the examples decides: not their order, not a seed, not the machine. Examples with the same input
(up to case and white space) or of the same group form a bundle, and a bundle is never taken apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from chiliad.data.example import Example
from chiliad.errors import UnusableData

TRAIN, DEV, TEST = "train", "dev", "test"
TEST_ROWS_MAX = 2000
DEV_ROWS_MAX = 500
"""scored after every epoch; more would change no choice, and are worth more in training"""


@dataclass(frozen=True)
class Split:
    """Three sets without a common input or group, each in the order of the examples' ids."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]


def split(examples: Sequence[Example], *, by_answer: bool) -> Split:
    """Divide examples about 70 : 10 : 20, small sets more evenly. Rows that are exactly equal are taken once.

    With `by_answer` each answer gets its share of each part, and every answer occurs in training. Raises
    UnusableData when there are fewer than three bundles.
    """
    bundles = bundled(examples)
    rows = sum(len(bundle.examples) for bundle in bundles)
    wanted = {DEV: dev_rows(rows), TEST: test_rows(rows)}
    parts = _divided(bundles, {TRAIN: rows - sum(wanted.values()), **wanted}, by_answer=by_answer)
    return Split(_in_order(parts[TRAIN]), _in_order(parts[DEV]), _in_order(parts[TEST]))


def split_around(
    examples: Sequence[Example], test: Sequence[Example], *, dev: Sequence[Example] = (), by_answer: bool
) -> Split:
    """Divide examples into training and development, beside test rows that are given and stay as they are.

    Examples in one bundle with a test row are left out. dev: what was for development before; if there are examples in one
    bundle with it, and others, they are. Raises UnusableData when fewer than two bundles are left.
    """
    shared = keys_shared(examples, test)
    free = [example for example in examples if example.key not in shared]
    bundles = bundled(free)
    if len(bundles) < 2:
        raise UnusableData(
            "Nearly all rows share an input or a group with a test row, so too few are left to learn from.",
            fix="Give test rows that are not among the training rows.",
        )
    kept = keys_shared(free, dev)
    parts = {part: [bundle for bundle in bundles if bool(bundle.keys & kept) is (part == DEV)] for part in (TRAIN, DEV)}
    if not all(parts.values()):
        rows = sum(len(bundle.examples) for bundle in bundles)
        wanted = {TRAIN: rows - dev_rows(rows), DEV: dev_rows(rows)}
        parts = _divided(bundles, wanted, by_answer=by_answer)
    return Split(_in_order(parts[TRAIN]), _in_order(parts[DEV]), tuple(_by_content(test)))


def keys_shared(examples: Iterable[Example], test: Iterable[Example]) -> frozenset[str]:
    """Return the keys of all bundles, made of both sets together, that hold a test row."""
    held_out = list(test)
    tested = {example.key for example in held_out}
    bundles = bundled([*examples, *held_out])
    return frozenset().union(*(bundle.keys for bundle in bundles if bundle.keys & tested))


def test_rows(rows: int) -> int:
    """A fifth, but 30 rows as soon as there are 100, and three tenths of fewer."""
    return min(TEST_ROWS_MAX, max(rows // 5, min(30, rows * 3 // 10)))


def dev_rows(rows: int) -> int:
    """A tenth, but 15 rows as soon as there are 100, and three twentieths of fewer."""
    return min(DEV_ROWS_MAX, max(rows // 10, min(15, rows * 3 // 20)))


@dataclass(frozen=True)
class Bundle:
    """Different examples that belong on the same side of every split."""

    examples: tuple[Example, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(example.key for example in self.examples)

    @cached_property
    def answers(self) -> frozenset[str]:
        return frozenset(example.answer for example in self.examples)

    @cached_property
    def place(self) -> str:
        """A uniform random order of bundles that follows from their content."""
        return min(self.keys)

    @cached_property
    def stratum(self) -> str:
        """The answer that is most frequent in the bundle."""
        counts = Counter(example.answer for example in self.examples)
        return min(counts, key=lambda answer: (-counts[answer], answer))


def bundled(examples: Iterable[Example]) -> list[Bundle]:
    """Join examples that share an input or a group, also through third ones; equal examples are taken once."""
    own = _by_content(examples)
    parents: dict[str, str] = {}
    for example in own:
        key = _root(parents, f"key {example.key}")
        if example.group is not None:
            parents[_root(parents, f"group {example.group}")] = key
    members: dict[str, dict[str, Example]] = defaultdict(dict)
    for example in own:
        members[_root(parents, f"key {example.key}")].setdefault(example.id, example)
    return [Bundle(tuple(group.values())) for group in members.values()]


def _root(parents: dict[str, str], name: str) -> str:
    """Find the name that stands for the whole set, and shorten the way to it (union-find with path halving)."""
    parents.setdefault(name, name)
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


def _divided(bundles: list[Bundle], wanted: dict[str, int], *, by_answer: bool) -> dict[str, list[Bundle]]:
    """Give each bundle in turn to the part that lags most behind its share; large bundles go first.

    Bundles of one answer follow each other, so every answer is shared out in the same proportions.
    """
    if len(bundles) < len(wanted):
        raise UnusableData(
            f"There are only {len(bundles)} different inputs or groups, too few to learn from some and test on others.",
            fix="Add rows with other inputs, or use a finer group column.",
        )
    rows_all = sum(wanted.values())
    parts: dict[str, list[Bundle]] = {part: [] for part in wanted}
    rows: Counter[str] = Counter()
    trained: set[str] = set()
    for bundle in sorted(bundles, key=lambda one: (-len(one.examples), one.stratum if by_answer else "", one.place)):
        rows_now = rows.total() + len(bundle.examples)
        lag = {part: wanted[part] * rows_now - rows[part] * rows_all for part in wanted}
        new_answer = by_answer and not bundle.answers <= trained
        part = TRAIN if new_answer else max(wanted, key=lambda name: lag[name])
        parts[part].append(bundle)
        rows[part] += len(bundle.examples)
        if part == TRAIN:
            trained |= bundle.answers
    return _without_empty(parts)


def _without_empty(parts: dict[str, list[Bundle]]) -> dict[str, list[Bundle]]:
    """Move the smallest bundle of the part with the most bundles into a part that got none."""
    for part in parts:
        if not parts[part]:
            giver = max(parts.values(), key=len)
            smallest = min(giver, key=lambda bundle: (len(bundle.examples), bundle.place))
            giver.remove(smallest)
            parts[part].append(smallest)
    return parts


def _in_order(bundles: list[Bundle]) -> tuple[Example, ...]:
    return tuple(_by_content(example for bundle in bundles for example in bundle.examples))


def _by_content(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: (example.id, example.group or ""))
