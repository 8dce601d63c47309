"""Keys and values of all running sequences, in blocks of one size from one bounded pool."""

from __future__ import annotations

from torch import Tensor

from chiliad.engine.runner import SequenceId
from chiliad.errors import EngineError
from chiliad.kernels import empty_in_large_pages

SLAB_BYTES = 32 << 20
"""memory is taken in pieces of about this size, and kept"""


class KVBlocks:
    """Which blocks hold which sequence's tokens, in order. A block belongs to one sequence or to none.

    A sequence of n tokens has ceil(n / tokens) blocks; they stay where they are for as long as it lives. A block that is
    given out holds whatever was in it before.
    """

    def __init__(self, *, tokens: int, numbers: int, blocks_max: int) -> None:
        """tokens, numbers: of one block, the numbers in bfloat16; blocks_max: how many there can be."""
        self._tokens, self._numbers, self._blocks_max = tokens, numbers, blocks_max
        self._slabs: list[Tensor] = []
        self._free: list[int] = []
        self._tables: dict[SequenceId, list[int]] = {}
        self.blocks = 0
        """blocks that memory has been taken for"""

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def blocks_free(self) -> int:
        """Blocks that no sequence has, those that memory has not been taken for among them."""
        return self._blocks_max - self.blocks + len(self._free)

    def extend(self, sequence: SequenceId, length: int) -> list[int]:
        """Make room for `length` tokens of a sequence, new or known; returns the addresses of all its blocks.

        Raises EngineError when the pool has not enough, and then has changed nothing.
        """
        table = self._tables.get(sequence, [])
        missing = -(-length // self._tokens) - len(table)
        if missing > self.blocks_free:
            raise EngineError("The memory for keys and values is full.", fix="Ask again when fewer are running.")
        while len(self._free) < missing:
            self._take_slab()
        table += [self._free.pop() for _ in range(missing)]
        self._tables[sequence] = table
        return table

    def release(self, sequence: SequenceId) -> None:
        """Give back a sequence's blocks, if it is known."""
        self._free += self._tables.pop(sequence, [])

    def _take_slab(self) -> None:
        blocks = min(max(1, SLAB_BYTES // (2 * self._numbers)), self._blocks_max - self.blocks)
        slab = empty_in_large_pages(blocks * self._numbers)
        self._slabs.append(slab)
        self._free += [slab.data_ptr() + 2 * self._numbers * block for block in range(blocks)]
        self.blocks += blocks
