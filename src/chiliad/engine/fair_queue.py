"""Who is next: those who share the engine take turns by the tokens they have had; waiting long makes up for priority.

Turns by tokens are the virtual token counter of Sheng et al. 2024 (arXiv 2401.00588).
"""

from __future__ import annotations

from heapq import heappop, heappush

from chiliad.engine.runner import SequenceId
from chiliad.engine.sequence import Sequence

AGING_S = 10.0
"""seconds of waiting that count as much as one step of priority"""


class FairQueue:
    """Waiting sequences, and what each share has had of the engine while it has anything in it.

    A line's head always waits; those further back may have left.

    The next is the one of the highest priority, aged by its wait; among equals one of the share that has had least;
    within a share the oldest. A share that comes back starts level with those that are there, not ahead of them.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[tuple[float, SequenceId, Sequence]]] = {}
        self._had: dict[str, int] = {}
        self._members: dict[str, int] = {}
        self._waiting: set[SequenceId] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sequence: Sequence) -> None:
        share, request = sequence.request.share, sequence.request
        if share not in self._members:
            self._members[share] = 0
            self._had[share] = min(self._had.values(), default=0)
        self._members[share] += 1
        due = sequence.submitted_s - request.priority * AGING_S
        heappush(self._lines.setdefault(share, []), (due, sequence.id, sequence))
        self._waiting.add(sequence.id)

    def first(self, now: float) -> Sequence | None:
        """Who is to be admitted next; stays in the queue."""
        heads = [(line[0][2], share) for share, line in self._lines.items()]
        if not heads:
            return None
        return min(heads, key=lambda head: (-_aged(head[0], now), self._had[head[1]], head[0].id))[0]

    def take(self, sequence: Sequence) -> None:
        """Admit it: it waits no longer and still belongs to its share."""
        share = sequence.request.share
        self._waiting.remove(sequence.id)
        line = self._lines[share]
        while line and line[0][1] not in self._waiting:
            heappop(line)
        if not line:
            del self._lines[share]

    def charge(self, sequence: Sequence, tokens: int) -> None:
        """Say what an admitted sequence has had."""
        self._had[sequence.request.share] += tokens

    def leave(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended, admitted or not; once for each that was added."""
        share = sequence.request.share
        if sequence.id in self._waiting:
            self.take(sequence)
        self._members[share] -= 1
        if not self._members[share]:
            del self._members[share], self._had[share]


def _aged(sequence: Sequence, now: float) -> int:
    """Priority in whole steps: within one step, fairness decides."""
    return sequence.request.priority + int((now - sequence.submitted_s) / AGING_S)
