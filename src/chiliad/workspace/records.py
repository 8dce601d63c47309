"""What the registry and the cards tell the ledger: how often experts are right, and what their trainings took."""

from __future__ import annotations

from chiliad.errors import DataError, RegistryError
from chiliad.evals import Card
from chiliad.ledger import Evidence, MachinePrice, RightShare, Training
from chiliad.registry import ExpertVersion, Registry
from chiliad.workspace.expert import CARD_FILE


class ExpertRecords:
    """The ledger's `Records`. Safe to share between threads."""

    def __init__(self, registry: Registry, price: MachinePrice) -> None:
        self._registry = registry
        self._price = price

    def score(self, model_id: str) -> RightShare | None:
        """Of `tickets@3`: the share of its test rows that it answered wholly right. None for a base, or without a card."""
        try:
            version = self._registry.get(model_id)
            card = Card.from_json((self._registry.folder(version.ref) / CARD_FILE).read_bytes())
        except (RegistryError, DataError, OSError):
            return None
        right = sum(score >= 1 for score in card.test_scores)
        rows = len(card.test_scores)
        source = f"{rows} test rows of dataset {card.provenance.dataset_hash[:12]}, on the card of {version.ref}"
        return RightShare(right / rows, rows, Evidence.TEST, source) if rows else None

    def trainings(self) -> list[Training]:
        """By the names of the experts."""
        return [self._training(version) for version in self._registry.trained()]

    def _training(self, version: ExpertVersion) -> Training:
        """What was made before costs were recorded, or under another currency, is priced as of now."""
        told, price = version.training, self._price
        machine_s = float(told["seconds"])
        cost = told["cost"] if told.get("currency") == price.currency else price.cost(machine_s)
        return Training(version.name, version.number, version.created.timestamp(), machine_s, cost)
