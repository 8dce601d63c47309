"""The text of an answer while it grows: whole characters only, and never a part of a stop string."""

from __future__ import annotations

from chiliad.base import StreamDecoder


class TextStream:
    """Collects decoded text, ends at the first stop string and holds back what might become one."""

    def __init__(self, decoder: StreamDecoder, stop: tuple[str, ...]) -> None:
        self._decoder = decoder
        self._stop = stop
        self._held = ""
        self._parts: list[str] = []
        self.stopped = False

    @property
    def text(self) -> str:
        """Everything released so far."""
        return "".join(self._parts)

    def push(self, token: int) -> str:
        """Take one token; returns the text that is now certain. Sets `stopped` when a stop string is complete."""
        return self._release(self._decoder.push(token), last=False)

    def flush(self) -> str:
        """End the answer; returns what was held back."""
        return "" if self.stopped else self._release(self._decoder.flush(), last=True)

    def _release(self, text: str, *, last: bool) -> str:
        self._held += text
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            certain = min(found)
        else:
            certain = len(self._held) - (0 if last else self._possible_stop())
        released, self._held = self._held[:certain], self._held[certain:]
        self._parts.append(released)
        return released

    def _possible_stop(self) -> int:
        """Characters at the end of the held text that begin a stop string."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        return next(
            (n for n in range(min(longest, len(self._held)), 0, -1) if self._begins_stop(self._held[-n:])),
            0,
        )

    def _begins_stop(self, tail: str) -> bool:
        return any(stop.startswith(tail) for stop in self._stop)
