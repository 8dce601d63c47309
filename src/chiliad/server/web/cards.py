"""Cards as pages show them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from chiliad.errors import DataError
from chiliad.evals import Card
from chiliad.evals.verdict import Outcome
from chiliad.evals.wording import metric_title
from chiliad.registry import ExpertRef, ExpertVersion
from chiliad.workspace import Workspace
from chiliad.workspace.expert import CARD_FILE

log = logging.getLogger("chiliad.pages")

TONES = {
    Outcome.EXPERT_WINS: ("good", "Better than its baselines"),
    Outcome.UNCLEAR: ("even", "Not proven"),
    Outcome.BASELINE_TIES: ("even", "No better than a baseline"),
    Outcome.BASELINE_WINS: ("bad", "Worse than a baseline"),
    Outcome.VOID: ("bad", "Void"),
}


@dataclass(frozen=True)
class Shown:
    """A version with its card, if it has one that can be read."""

    version: ExpertVersion
    card: Card | None

    @property
    def tone(self) -> str:
        return TONES[self.card.verdict.outcome][0] if self.card else "none"

    @property
    def metric(self) -> str:
        """What the card's score is called, or nothing without a card."""
        return metric_title(self.card.metric) if self.card else ""

    @property
    def badge(self) -> str:
        """In English, as the catalogue knows it."""
        return TONES[self.card.verdict.outcome][1] if self.card else "Not evaluated"


def shown(workspace: Workspace, version: ExpertVersion) -> Shown:
    return Shown(version, card_of(workspace, version.ref))


def card_of(workspace: Workspace, ref: ExpertRef) -> Card | None:
    try:
        return Card.from_json((workspace.registry.folder(ref) / CARD_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except DataError as error:
        log.warning("%s: %s", ref, error)
        return None
