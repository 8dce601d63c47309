"""Keys and values of all sequences, in blocks of one size from one bounded pool; prompts that begin alike share blocks."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from torch import Tensor

from chiliad.engine.runner import SequenceId
from chiliad.errors import EngineError
from chiliad.kernels import empty_in_large_pages

SLAB_BYTES = 32 << 20
"""memory is taken in pieces of about this size, and kept"""

Beginning = bytes
"""the digest of all tokens from the first to the last of some block, and of what adapter acts from which of them on"""


class Origin(NamedTuple):
    """What keys and values depend on beside the tokens up to theirs: the adapter that acts from one of them on."""

    adapter: str
    """its hash; "" for none"""
    acts_from: int = 0
    """position"""

    def longer(self, beginning: Beginning, start: int, tokens: Many[int]) -> Beginning:
        """Of `beginning` and the block of `tokens` at `start`: what no adapter acts on yet is any adapter's."""
        acts = self.adapter and start <= self.acts_from < start + len(tokens)
        own = sha256(f"{self.acts_from} {self.adapter}".encode()).digest() if acts else b""
        return sha256(beginning + own + array("q", tokens).tobytes()).digest()


BASE = Origin("")
"""the base alone"""


@dataclass
class _Table:
    """A sequence's blocks, in order."""

    blocks: list[int] = field(default_factory=list)
    """addresses"""
    origin: Origin | None = None
    """None for a sequence that shares nothing"""
    beginning: Beginning = b""
    """of the full blocks"""
    full: int = 0
    """how many blocks those are"""
    rest: list[int] = field(default_factory=list)
    """tokens written after them"""


class KVBlocks:
    """Which blocks hold which sequence's tokens, in order.

    A sequence of n tokens has ceil(n / tokens) blocks. A full block may belong to several sequences that begin with the
    same tokens and on which the same adapter acts so far, or none; nobody writes into it again. When its last owner leaves,
    it stays as an idle block, for as long as there is room: the least recently used goes first, the end of a beginning
    before its start.
    """

    def __init__(self, *, tokens: int, numbers: int, blocks_max: int, idle_max: int = 0) -> None:
        """tokens, numbers: of one block, the numbers in bfloat16; blocks_max: how many there can be; idle_max: of those
        kept without an owner. Without idle ones nothing is shared."""
        self._tokens, self._numbers = tokens, numbers
        self._blocks_max, self._idle_max = blocks_max, idle_max
        self._slabs: list[Tensor] = []
        self._free: list[int] = []
        self._tables: dict[SequenceId, _Table] = {}
        self._owners: Counter[int] = Counter()
        self._known: dict[Beginning, int] = {}
        self._beginning_in: dict[int, Beginning] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self.blocks = 0
        """blocks that memory has been taken for"""

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def blocks_free(self) -> int:
        """Blocks that no sequence has: idle ones, and those that memory has not been taken for, among them."""
        return self._blocks_max - self.blocks + len(self._free) + len(self._idle)

    @property
    def tokens_free(self) -> int:
        """Tokens that the free blocks have room for."""
        return self.blocks_free * self._tokens

    @property
    def blocks_idle(self) -> int:
        """Blocks kept without an owner, for prompts that begin as theirs did."""
        return len(self._idle)

    def begin(self, sequence: SequenceId, origin: Origin, prompt: Many[int]) -> int:
        """A new sequence that shares its blocks. Returns how many tokens of its prompt are there already, never all."""
        if not self._idle_max:
            return 0
        beginning: Beginning = b""
        blocks: list[int] = []
        for start in range(0, len(prompt) - self._tokens, self._tokens):
            longer = origin.longer(beginning, start, prompt[start : start + self._tokens])
            if longer not in self._known:
                break
            beginning = longer
            blocks.append(self._own(self._known[longer]))
        self._tables[sequence] = _Table(blocks, origin, beginning, len(blocks))
        return len(blocks) * self._tokens

    def extend(self, sequence: SequenceId, length: int) -> list[int]:
        """Make room for `length` tokens of a sequence, new or known; returns the addresses of all its blocks.

        Raises EngineError when the pool has not enough, and then has changed nothing.
        """
        if not self.reserve(sequence, length):
            raise EngineError(
                "The memory for keys and values is full.", fix="Ask again when fewer requests are running."
            )
        return self._tables[sequence].blocks

    def reserve(self, sequence: SequenceId, length: int) -> bool:
        """What `extend` does, but says whether there was enough instead of raising."""
        table = self._tables.get(sequence) or _Table()
        missing = -(-length // self._tokens) - len(table.blocks)
        if missing > self.blocks_free or not self._have_memory(missing):
            return False
        table.blocks += [self._own(self._take()) for _ in range(missing)]
        self._tables[sequence] = table
        return True

    def written(self, sequence: SequenceId, tokens: Many[int]) -> None:
        """Say that the next tokens' keys and values are in the sequence's blocks: the full ones can be shared now."""
        table = self._tables[sequence]
        if table.origin is None:
            return
        table.rest += tokens
        while len(table.rest) >= self._tokens:
            first, table.rest = table.rest[: self._tokens], table.rest[self._tokens :]
            table.beginning = table.origin.longer(table.beginning, table.full * self._tokens, first)
            self._share(table, table.beginning)
            table.full += 1

    def release(self, sequence: SequenceId) -> None:
        """Give back a sequence's blocks, if it is known."""
        for block in reversed(self._tables.pop(sequence, _Table()).blocks):
            self._disown(block)
        while len(self._idle) > self._idle_max:
            self._free.append(self._forget_oldest())

    def _share(self, table: _Table, beginning: Beginning) -> None:
        """Make a block that became full known. When another has the same in it already, take that one."""
        block = table.blocks[table.full]
        known = self._known.setdefault(beginning, block)
        if known == block:
            self._beginning_in[block] = beginning
        else:
            table.blocks[table.full] = self._own(known)
            self._disown(block)

    def _own(self, block: int) -> int:
        self._idle.pop(block, None)
        self._owners[block] += 1
        return block

    def _disown(self, block: int) -> None:
        self._owners[block] -= 1
        if self._owners[block]:
            return
        del self._owners[block]
        if block in self._beginning_in:
            self._idle[block] = None
        else:
            self._free.append(block)

    def _have_memory(self, blocks: int) -> bool:
        """Take memory for so many; where the machine has none left, those kept without an owner have to do."""
        while len(self._free) < blocks and self.blocks < self._blocks_max:
            try:
                self._take_slab()
            except OSError:
                break
        return blocks <= len(self._free) + len(self._idle)

    def _take(self) -> int:
        return self._free.pop() if self._free else self._forget_oldest()

    def _forget_oldest(self) -> int:
        block, _ = self._idle.popitem(last=False)
        del self._known[self._beginning_in.pop(block)]
        return block

    def _take_slab(self) -> None:
        blocks = min(max(1, SLAB_BYTES // (2 * self._numbers)), self._blocks_max - self.blocks)
        slab = empty_in_large_pages(blocks * self._numbers)
        self._slabs.append(slab)
        self._free += [slab.data_ptr() + 2 * self._numbers * block for block in range(blocks)]
        self.blocks += blocks
