"""Where a run stands, in one safetensors file that is replaced atomically: a kill loses seconds, not the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from chiliad.errors import TrainingError
from chiliad.store.files import write_atomic


@dataclass
class Progress:
    """What the loop has done so far. All of it is saved, so that a resumed run continues as if nothing had happened."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """that the machine worked for it"""
    beside_seconds: float = 0.0
    """of these, those outside the passes that train: optimizer steps, dev scores, what is read at the start and the end"""
    losses: list[tuple[int, float]] = field(default_factory=list)
    """(step, mean training loss per answer token)"""
    dev_losses: list[tuple[int, float]] = field(default_factory=list)
    dev_exact: list[tuple[int, float]] = field(default_factory=list)
    best_epoch: int | None = None
    """whose weights are kept"""
    best_value: float | None = None
    """highest dev score yet"""
    epochs_done: int = 0
    stopped_early: bool = False

    @property
    def pass_seconds(self) -> float:
        """Of the passes that train."""
        return self.seconds - self.beside_seconds

    @property
    def tokens_per_second(self) -> float:
        """Of the passes that train."""
        return self.tokens / max(self.pass_seconds, 1e-9)


@dataclass(frozen=True)
class Checkpoint:
    """identity: a hash over rows and recipe; a checkpoint of another identity is never continued."""

    path: Path
    identity: str

    def save(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        header = {"identity": self.identity, "progress": json.dumps(asdict(progress))}
        write_atomic(self.path, save({name: tensor.contiguous() for name, tensor in tensors.items()}, header))

    def load(self) -> tuple[Progress, dict[str, Tensor]] | None:
        """The saved state, or None if there is none for this identity. Raises TrainingError for a damaged file."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("identity") != self.identity:
                    return None
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError as error:
            raise TrainingError(
                f"The checkpoint {self.path} is damaged: {error}.", fix="Delete it; training starts afresh."
            ) from error
        return _progress(json.loads(header["progress"])), tensors

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _progress(document: dict[str, Any]) -> Progress:
    """JSON has no tuples; the curves get theirs back."""
    curves = ("losses", "dev_losses", "dev_exact")
    return Progress(**{**document, **{name: [(step, value) for step, value in document[name]] for name in curves}})
