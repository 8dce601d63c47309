"""The alias of an expert: which version is live, and how it got there, in `alias.json` beside the versions."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from chiliad.errors import RegistryError
from chiliad.registry.gate import Action, Promotion
from chiliad.store import PromotionRow
from chiliad.store.files import write_atomic

ALIAS_FILE = "alias.json"


@dataclass(frozen=True)
class Alias:
    live: int | None = None
    history: tuple[Promotion, ...] = ()
    deleted_max: int = 0
    """the highest number of a deleted version; it is not given out again"""

    def moved(self, step: Promotion) -> Alias:
        """The alias after one more step."""
        return replace(
            self, live=None if step.action is Action.WITHDRAW else step.version, history=(*self.history, step)
        )

    def without(self, number: int) -> Alias:
        """The alias after the deletion of a version that is not live."""
        return replace(self, deleted_max=max(self.deleted_max, number))

    def previous(self, existing: Collection[int]) -> int | None:
        """The version that a rollback makes live: the one before this, of those that still exist."""
        stack = self._stack()
        below = stack if self.live is None else stack[:-1]
        return next((number for number in reversed(below) if number in existing and number != self.live), None)

    def best(self, existing: Collection[int]) -> int | None:
        """Of what was live, still exists and was not rolled back: the version with the highest score on the test rows.

        Scores are those of the comparisons that promotions were judged by; among equals the newest counts. A promotion by
        force, and one on other test rows, begins anew: from then on it is what versions are measured by.
        """
        scores: dict[int, float] = {}
        measure: tuple[str, int] | None = None
        for step in self.history:
            if step.action is not Action.PROMOTE:
                continue
            found = step.comparison
            if step.forced or found is None or measure not in (None, found.measure):
                scores.clear()
            measure = found.measure if found else None
            if found and not step.forced:
                scores[found.live] = found.live_score
            scores[step.version] = found.candidate_score if found else float("-inf")
        standing = [number for number in self._stack() if number in existing and number in scores]
        return max(reversed(standing), key=scores.__getitem__, default=None)

    def number_max(self) -> int:
        """The highest version number that it knows of."""
        return max((self.deleted_max, *(step.version for step in self.history)))

    def rows(self) -> list[PromotionRow]:
        """The history as the database keeps it."""
        return [PromotionRow(**step.to_document()) for step in self.history]

    def write(self, folder: Path) -> None:
        write_atomic(folder / ALIAS_FILE, self.to_json())

    def to_json(self) -> str:
        """What `alias.json` says."""
        history = [step.to_document() for step in self.history]
        document = {"live": self.live, "deleted_max": self.deleted_max, "history": history}
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read an expert's folder; without a file nothing was ever live. Raises RegistryError for a broken file."""
        path = folder / ALIAS_FILE
        try:
            document = json.loads(path.read_text("utf-8"))
            history = tuple(Promotion.from_document(step) for step in document["history"])
            return cls(document["live"], history, document.get("deleted_max", 0))
        except FileNotFoundError:
            return cls()
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RegistryError(
                f"Cannot read {path} ({error}).", fix="Bring it back from a backup, or remove it and promote again."
            ) from error

    def _stack(self) -> tuple[int, ...]:
        """What was live and can be again, newest last: promotions push, rollbacks and withdrawals pop."""
        stack: list[int] = []
        for step in self.history:
            if step.action is Action.PROMOTE:
                stack.append(step.version)
            elif step.action is Action.ROLLBACK:
                while stack and stack[-1] != step.version:
                    stack.pop()
            else:
                stack = [number for number in stack if number != step.version]
        return tuple(stack)
