"""Who is next: those who share the engine take turns by the tokens they have had; waiting and priority count as tokens too.

Turns by tokens are the virtual token counter of Sheng et al. 2024 (arXiv 2401.00588).
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace

from chiliad.engine.runner import SequenceId
from chiliad.engine.sequence import Sequence

WAITING_TOKENS_PER_S = 50.0
"""what a second of waiting makes up for: a fraction of what the engine gives in it, so that a share which asked for much at
once cannot keep out the others, and still everyone's turn comes"""

AGING_S = 10.0
"""seconds of waiting that count as much as one step of priority"""

Turn = tuple[float, SequenceId]
"""the lowest is next"""


class FairQueue:
    """Waiting sequences, and what each share has had of the engine while it has anything in it.

    The next is the oldest of the share that has had least, where a second of waiting and a step of priority stand for so
    many tokens. A share that comes back starts level with those that are there, not ahead of them. No call takes longer
    the more are waiting, but by a logarithm.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[tuple[float, SequenceId, Sequence]]] = {}
        self._had: dict[str, int] = {}
        self._members: dict[str, int] = {}
        self._waiting: set[SequenceId] = set()
        self._turns: list[tuple[Turn, str]] = []
        """a heap with every line's head at its turn or at an earlier one: what a share has had since is not in it yet"""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, share: str) -> bool:
        """Whether one of this share waits."""
        return share in self._lines

    def add(self, sequence: Sequence) -> None:
        share = sequence.request.share
        if share not in self._members:
            self._members[share] = 0
            self._had[share] = min(self._had.values(), default=0)
        self._members[share] += 1
        self.put_back(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Have an admitted sequence wait again, as long as it has waited since its submission."""
        line = self._lines.setdefault(sequence.request.share, [])
        heappush(line, (_due(sequence), sequence.id, sequence))
        self._waiting.add(sequence.id)
        if line[0][2] is sequence:
            heappush(self._turns, (self._turn(sequence), sequence.request.share))

    def first(self) -> Sequence | None:
        """Who is to be admitted next; stays in the queue."""
        while self._turns:
            turn, share = self._turns[0]
            head = self._lines[share][0][2] if share in self._lines else None
            if head is None or head.id != turn[1]:
                heappop(self._turns)
            elif turn == self._turn(head):
                return head
            else:
                heapreplace(self._turns, (self._turn(head), share))
        return None

    def take(self, sequence: Sequence) -> None:
        """Admit it: it waits no longer and still belongs to its share."""
        share = sequence.request.share
        self._waiting.remove(sequence.id)
        line = self._lines[share]
        if line[0][2] is not sequence:
            return
        while line and line[0][1] not in self._waiting:
            heappop(line)
        if line:
            heappush(self._turns, (self._turn(line[0][2]), share))
        else:
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
        if not self._waiting:
            self._turns.clear()

    def _turn(self, head: Sequence) -> Turn:
        return self._had[head.request.share] + WAITING_TOKENS_PER_S * _due(head), head.id


def _due(sequence: Sequence) -> float:
    return sequence.submitted_s - sequence.request.priority * AGING_S
