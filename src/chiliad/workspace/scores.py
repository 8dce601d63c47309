"""How often experts are right, from their cards."""

from __future__ import annotations

from chiliad.errors import DataError, RegistryError
from chiliad.evals import Card
from chiliad.ledger import TestScore
from chiliad.registry import Registry
from chiliad.workspace.expert import CARD_FILE


def score_of(registry: Registry, model_id: str) -> TestScore | None:
    """Of `tickets@3`: the share of its test rows that it answered wholly right. None for a base, or without a card."""
    try:
        version = registry.get(model_id)
        card = Card.from_json((registry.folder(version.ref) / CARD_FILE).read_bytes())
    except (RegistryError, DataError, OSError):
        return None
    right = sum(score >= 1 for score in card.test_scores)
    rows = len(card.test_scores)
    source = f"{rows} test rows of dataset {card.provenance.dataset_hash[:12]}, on the card of {version.ref}"
    return TestScore(right / rows, rows, source) if rows else None
